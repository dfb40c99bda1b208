"""How urgently the reading list should show what the models found."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from config.proxy import ProxyTable
from config.table import Table

UrgencyName = Literal["STAT", "URGENT", "ROUTINE"]


class PriorityRule(Table):
    """A finding of the site's table, and how urgent it makes a study.

    A rule holds when everything that it names does; the most urgent one counts.

    Args:
        code: of the finding's concept, with `scheme` where a code alone is ambiguous.
        finding: glob over the concept's meaning, without regard to case.
        model: glob over the model's name.
        at_least: "present", as the model decided, or a probability from 0 to 1.
        value_at_least: instead of `at_least`, for what is measured: in its unit.
    """

    code: Annotated[str, Field(max_length=64)] = ""
    scheme: Annotated[str, Field(max_length=16)] = ""
    finding: Annotated[str, Field(max_length=128)] = ""
    model: Annotated[str, Field(min_length=1, max_length=128)] = "*"
    at_least: Literal["present"] | Annotated[float, Field(ge=0, le=1)] = "present"
    value_at_least: Annotated[float, Field(allow_inf_nan=False)] | None = None
    urgency: UrgencyName

    @model_validator(mode="after")
    def _names_something(self) -> "PriorityRule":
        if not self.code and not self.finding:
            raise ValueError('a rule names a code or a finding; finding = "*" is any')
        if self.scheme and not self.code:
            raise ValueError("scheme belongs to a code")
        if self.value_at_least is not None and "at_least" in self.model_fields_set:
            raise ValueError("at_least and value_at_least exclude one another")
        return self


class WorklistTable(Table):
    """What the node suggests to the reading list: nothing without rules or default.

    Args:
        expires_minutes: a suggestion is not shown for longer; 0: it does not expire.
        default: of a study that was evaluated and that no rule raises; "": none.
        sending_application: MSH-3 of HL7 messages; "": the node's AE title.
        sending_facility: MSH-4.
        rules: the site's table.
    """

    expires_minutes: Annotated[float, Field(ge=0, le=525_600)] = 1440.0
    default: UrgencyName | Literal[""] = ""
    sending_application: Annotated[str, Field(max_length=180)] = ""
    sending_facility: Annotated[str, Field(max_length=180)] = ""
    rules: tuple[PriorityRule, ...] = ()
    proxy: ProxyTable = ProxyTable()
