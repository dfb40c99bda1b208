"""Two nodes on one folder would count and clean up for one another."""

from tests.e2e.conftest import StartNode
from tests.e2e.node import NodeSettings
from tests.peers import echoscu, wait_until


def test_a_second_serve_on_the_same_folder_is_refused_with_the_remedy(
    settings: NodeSettings, start_node: StartNode
) -> None:
    node = start_node(settings)
    wait_until(lambda: len(node.pids()) == 4, what="all roles run")
    pids = node.pids()
    text = node.configuration.read_text()
    port = settings.address.port
    try:
        # A port of its own, so that nothing but the folder is in its way.
        node.configuration.write_text(text.replace(f"port = {port}", "port = 0", 1))
        second = node.cli("serve")
    finally:
        node.configuration.write_text(text)
    assert second.returncode == 2
    assert "ready" not in second.stdout
    assert f"process {pids['serve']}" in second.stderr
    assert "node.data_dir" in second.stderr
    assert "Traceback" not in second.stderr
    assert node.pids() == pids
    assert echoscu(node.address)


def test_a_serve_that_was_killed_keeps_nobody_out(
    settings: NodeSettings, start_node: StartNode
) -> None:
    node = start_node(settings)
    node.running.process.kill()
    node.running.process.wait()
    assert echoscu(start_node(settings).address)
