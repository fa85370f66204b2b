"""`explain` as text: the task, its assignments with their rankings, complaints, scores, and the timeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from vault_server.operator.pages import STATE_STYLES, short, table
from vault_server.operator.times import clock, moment, second, span

Explained = Mapping[str, Any]

RANKING_ROWS = 6
"""Of a long ranking the first, and the chosen one, are shown; `--json` has all."""


def candidates_text(found: Explained) -> str:
    """What to say when a prefix fits several tasks."""
    lines = [f"  {each['task']}  {moment(each['created_at'])}  {each['status']}" for each in found["candidates"]]
    return "\n".join(["several tasks begin like that; say more of:", *lines, *(["  …"] if found["more"] else [])])


def explain_page(task: Explained, console: Console) -> Group:
    """The whole page for a console of this width."""
    return Group(*_parts(task, console))


def _parts(task: Explained, console: Console) -> Iterator[RenderableType]:
    yield _heading(task)
    for assignment in task["assignments"]:
        yield Text()
        yield from _assignment(assignment)
    for complaint in task["complaints"]:
        yield Text()
        yield from _complaint(complaint)
    if task["scores"]:
        yield Text()
        yield Text("Scores that moved", "bold")
        yield _indented(_scores(task))
    yield Text()
    yield Text(f"Every change, oldest first ({second(task['created_at'])[:10]} UTC)", "bold")
    yield _indented(_timeline(task, console))


def _heading(task: Explained) -> RenderableType:
    heading = Text.assemble(("Task ", "bold"), (task["task"], "bold"), " is ", _state(task["status"]))
    facts = _facts()
    facts.add_row("client", f"{task['client']}{' (a trap: the server itself)' if task['is_trap'] else ''}")
    facts.add_row("submitted", f"{moment(task['created_at'])} UTC")
    if task["promised_by"] is not None:
        facts.add_row("promised by", f"{second(task['promised_by'])}{_against(task)}")
    facts.add_row("work", f"about {span(task['effort_seconds'] * 1000)} on the reference machine, {_bits(task)}")
    judged = f", judged by {task['judged_by']}" if task["judged_by"] not in (None, task["judging"]) else ""
    facts.add_row("judging", f"{task['judging']}{judged}; proof: {task['proof']}")
    returned = f", {task['num_returned']} handed back" if task["num_returned"] else ""
    facts.add_row("assignments", f"{task['num_assignments']} made{returned}, {task['open_slots']} slots open")
    if task["reason"] is not None:
        facts.add_row("reason", Text(task["reason"], "red"))
    return Group(heading, _indented(facts))


def _against(task: Explained) -> str:
    if task["answered_at"] is None:
        return ""
    left = task["promised_by"] - task["answered_at"]
    kept = f"{span(left)} before that" if left >= 0 else f"{span(-left)} late"
    return f"; answered {kept}"


def _bits(task: Explained) -> str:
    return f"{task['modulus_bits']} bits" + (", with a commitment" if task["has_commitment"] else "")


def _assignment(row: Explained) -> Iterator[RenderableType]:
    yield Text.assemble(
        (f"Assignment {row['assignment']}, slot {row['slot']}: ", "bold"), row["solver"], " ", _state(row["status"])
    )
    facts = _facts()
    facts.add_row("chosen", f"{moment(row['assigned_at'])}, {_choice(row)}")
    begun = row["assigned_at"]
    for name in ("accepted", "delivered", "ended"):
        at = row[f"{name}_at"]
        if at is not None:
            facts.add_row(name, f"{moment(at)}, {span(at - begun)} later")
    due = f"{second(row['deadline'])}, {span(row['deadline'] - begun)} after it was chosen"
    facts.add_row("deadline", due + (" (excused: the server was down)" if row["excused"] else ""))
    if row["proof"] is not None:
        facts.add_row("proof", _proof(row["proof"]))
    if row["late_until"] is not None:
        facts.add_row("late until", f"{moment(row['late_until'])}; a proved answer still counted")
    if row["checkpoint"] is not None:
        facts.add_row("checkpoint", _checkpoint(row["checkpoint"]))
    yield _indented(facts)
    yield _indented(_ranking(row))


def _choice(row: Explained) -> str:
    if row["rank"] is None:
        return "as a newcomer, out of turn"
    return f"rank {row['rank']} of {len(row['ranking'])}"


def _proof(proof: Explained) -> str:
    if proof["checked_at"] is None:
        return f"waits to be checked since {moment(proof['received_at'])}"
    return f"{proof['status']}, checked {span(proof['checked_at'] - proof['received_at'])} after it came"


def _checkpoint(relay: Explained) -> str:
    if relay["status"] == "refuted":
        return f"proved wrong; relayed {moment(relay['taken_at'])}"
    return f"{relay['residues']} of {relay['places']} places, {relay['checked']} checked, {moment(relay['taken_at'])}"


def _ranking(row: Explained) -> Table:
    made = table("", "rank", "solver", "band", "score", "hand", "last served", right="rank band score hand")
    for place, seen in enumerate(row["ranking"], 1):
        is_chosen = seen["solver"] == row["solver"]
        if place > RANKING_ROWS and not is_chosen:
            continue
        served = seen["last_served_at"]
        made.add_row(
            ">" if is_chosen else "",
            str(place),
            seen["solver"],
            str(seen["band"]),
            f"{seen['score']:.2f}",
            str(seen["in_hand"]),
            "never" if served is None else f"{span(row['assigned_at'] - served)} before",
            style="" if is_chosen else "dim",
        )
    return made


def _complaint(row: Explained) -> Iterator[RenderableType]:
    yield Text.assemble((f"Complaint {row['complaint']}, {row['kind']}: ", "bold"), _state(row["status"]))
    facts = _facts()
    factor = "; a factor was revealed" if row["factor_revealed"] else ""
    facts.add_row("made", f"{moment(row['created_at'])}{factor}")
    for party in row["about"]:
        facts.add_row(f"assignment {party['assignment']}", _said(row, party))
    if row["ruled_at"] is not None:
        facts.add_row("ruled", f"{moment(row['ruled_at'])}: {row['ruling']}")
    elif row["respond_by"] is not None:
        facts.add_row("respond by", second(row["respond_by"]))
    yield _indented(facts)


def _said(complaint: Explained, party: Explained) -> str:
    if party["response"] is not None:
        return f"{party['response']}, {moment(party['responded_at'])}"
    return "was not asked" if complaint["respond_by"] is None else "has not responded"


def _scores(task: Explained) -> Table:
    made = table("standing", "fingerprint", "change", "after", "reason", right="change after")
    for row in task["scores"]:
        style = "green" if row["change"] > 0 else "red"
        made.add_row(
            row["standing"],
            row["fingerprint"],
            Text(f"{row['change']:+.2f}", style),
            f"{row['after']:.2f}",
            row["reason"],
        )
    made.columns[-1].no_wrap = False
    return made


def _timeline(task: Explained, console: Console) -> Table:
    made = table("time", "since", "about", "becomes", "why", right="since")
    made.columns[-1].no_wrap = False
    for entry in task["timeline"]:
        who = short(entry["who"], console) if entry["who"] else ""
        why = entry["why"] or ""
        made.add_row(
            clock(entry["at"]),
            span(entry["at"] - task["created_at"]),
            entry["about"],
            _state(entry["state"]),
            ", ".join(part for part in (who, why) if part),
        )
    return made


def _facts() -> Table:
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column()
    return made


def _indented(body: RenderableType) -> Padding:
    return Padding(body, (0, 0, 0, 2))


def _state(name: str) -> Text:
    return Text(name, STATE_STYLES.get(name, ""))
