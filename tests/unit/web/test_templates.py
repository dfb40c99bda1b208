"""Templates are read once, when the page starts."""

from pathlib import Path

from jinja2 import FileSystemLoader

from dicom_node.web.templates import load_all, make_environment


def test_an_upgrade_beside_a_page_that_runs_changes_no_template_of_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "base.html").write_text("old {% block main %}{% endblock %}")
    page = tmp_path / "page.html"
    page.write_text("{% extends 'base.html' %}{% block main %}page{% endblock %}")
    templates = make_environment(FileSystemLoader(tmp_path))
    load_all(templates)
    page.write_text("{{ what_this_version_does_not_pass }}")
    (tmp_path / "base.html").unlink()
    assert templates.get_template("page.html").render() == "old page"
