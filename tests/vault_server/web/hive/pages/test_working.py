"""Everything that people do with tasks and agents, by forms alone; what each page offers to whom, and refuses."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from tests.processes import Server
from tests.vault_server.web.hive.pages.visitor import AGENT, TASK, Agent, Visitor

SETTINGS = {"hive_requests_max": 10_000}


@pytest.fixture
async def ann(shared_server: Server) -> AsyncIterator[Visitor]:
    """She posts."""
    async with Visitor(shared_server) as visitor:
        await visitor.register(name="Ann")
        yield visitor


@pytest.fixture
async def bob(shared_server: Server) -> AsyncIterator[Visitor]:
    """His agents work."""
    async with Visitor(shared_server) as visitor:
        await visitor.register(name="Bob")
        yield visitor


@pytest.fixture
async def robot(bob: Visitor) -> Agent:
    return await bob.agent()


def change(server: Server, sql: str, *values: object) -> None:
    """What only an operator can do."""
    with closing(sqlite3.connect(server.database)) as rows, rows:
        rows.execute(sql, values)


async def offered(who: Visitor, task: int) -> set[str]:
    """The forms of a task's page, without their numbers."""
    page = await who.get(f"/tasks/{task}")
    return {form.rstrip("0123456789").rstrip("-") for form in page.forms} - {"logout"}


async def test_a_task_from_posting_to_review(ann: Visitor, bob: Visitor, robot: Agent) -> None:
    task = await ann.task(requirements="All of them.", category_id="1", deadline="2030-01-31T12:00", max_revisions="1")
    page = await ann.get(f"/tasks/{task}")
    for shown in ("All of them.", "Coding", "2030-01-31 12:00 UTC", "up to 1", "200 credits", "by Ann (you)"):
        assert shown in page.text
    assert "180 credits: the budget less a fee of 10 %, once the work is accepted" in page.text
    claim = await robot.claim(task, "I am quick.")
    page = await ann.get("/dashboard")
    assert "Claims to choose from" in page.text
    page = await ann.get(f"/tasks/{task}")
    assert "I am quick." in page.text
    assert 'class="badge">New' in page.html
    page = await ann.send(page, f"accept-claim-{claim}")
    assert page.path == f"/tasks/{task}?done=claim-accepted"
    first = await robot.deliver(task, "1, 2")
    assert "Work to review" in (await ann.get("/dashboard")).text
    page = await ann.fill(f"/tasks/{task}", f"revision-{first}", revision_notes="3 is missing.")
    assert "3 is missing." in page.text
    second = await robot.deliver(task, "1, 2, 3")
    page = await ann.fill(f"/tasks/{task}", f"accept-work-{second}")
    assert page.path == f"/tasks/{task}?done=accepted"
    assert "The work is accepted and paid: 180 credits to" in page.text
    assert "Accepted bid 150 credits what the agent asked for, to choose by; the budget is what counts" in page.text
    page = await ann.send(page, "review-form", rating="4", quality_score="5", comment="Good.")
    assert "4 of 5 · quality 5 of 5" in page.text
    assert await offered(ann, task) == set()
    assert "Good." in (await bob.get(f"/agents/{robot.id}")).text
    ledger = await bob.get("/dashboard/ledger")
    assert "+180" in ledger.text
    assert '<b class="figure" id="balance">780</b>' in ledger.html
    assert "500" in (await ann.get("/dashboard")).text  # nothing is taken from who posts


async def test_what_a_task_offers_to_whom(shared_server: Server, ann: Visitor, bob: Visitor, robot: Agent) -> None:
    async with Visitor(shared_server) as eve, Visitor(shared_server) as nobody:
        await eve.register()
        task = await ann.task(max_revisions="0")
        claim = await robot.claim(task)
        assert await offered(ann, task) == {"accept-claim", "reject-claim", "cancel"}
        assert await offered(bob, task) == {"withdraw-claim"}
        await ann.fill(f"/tasks/{task}", f"accept-claim-{claim}")
        assert await offered(ann, task) == {"cancel", "rollback"}
        assert await offered(bob, task) == {"withdraw-claim"}
        await robot.post(f"/tasks/{task}/start")
        assert await offered(ann, task) == set()
        work = await robot.deliver(task, "hidden from strangers")
        assert await offered(ann, task) == {"accept-work", "reject-work"}
        assert "This task allows no revisions." in (await ann.get(f"/tasks/{task}")).text
        assert await offered(bob, task) == set()
        for stranger in (eve, nobody):
            assert await offered(stranger, task) == set()
            page = await stranger.get(f"/tasks/{task}")
            assert "hidden from strangers" not in page.html
            assert "Sort these numbers" in page.text
        assert "hidden from strangers" in (await bob.get(f"/tasks/{task}")).html
        await ann.fill(f"/tasks/{task}", f"accept-work-{work}")
        assert await offered(ann, task) == {"review-form"}
        assert await offered(bob, task) == set()


async def test_cancelling_and_taking_back(ann: Visitor, bob: Visitor, robot: Agent) -> None:
    task = await ann.task()
    page = await ann.fill(f"/tasks/{task}", "cancel")
    assert (page.path, "Cancelled" in page.text) == (f"/tasks/{task}?done=cancelled", True)
    task = await ann.task()
    await ann.fill(f"/tasks/{task}", f"accept-claim-{await robot.claim(task)}")
    page = await ann.fill(f"/tasks/{task}", "rollback")
    assert page.path == f"/tasks/{task}?done=reopened"
    claim = await robot.claim(task)
    page = await ann.fill(f"/tasks/{task}", f"reject-claim-{claim}")
    assert "Rejected" in page.text
    page = await bob.fill(f"/tasks/{task}", f"withdraw-claim-{await robot.claim(task)}")
    assert page.path == f"/tasks/{task}?done=claim-withdrawn"


async def test_once_the_deadline_has_passed(ann: Visitor, robot: Agent) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=4)
    slow, late = [await ann.task(deadline=f"{deadline:%Y-%m-%dT%H:%M:%S}") for _ in range(2)]
    for task in (slow, late):
        await ann.fill(f"/tasks/{task}", f"accept-claim-{await robot.claim(task)}")
    await robot.post(f"/tasks/{slow}/start")
    while datetime.now(UTC) <= deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    assert "Deadline passed, nothing delivered" in (await ann.get("/dashboard")).text
    page = await ann.fill(f"/tasks/{slow}", "reclaim")
    assert page.path == f"/tasks/{slow}?done=reopened"
    await robot.deliver(late)
    assert '<span class="late">late</span>' in (await ann.get(f"/tasks/{late}")).html


async def test_work_for_oneself_is_flagged(bob: Visitor, robot: Agent) -> None:
    task = await bob.task()
    await bob.fill(f"/tasks/{task}", f"accept-claim-{await robot.claim(task)}")
    assert "self-dealt" in (await bob.get(f"/tasks/{task}")).text


async def test_disputes_and_an_admin_who_decides(
    shared_server: Server, ann: Visitor, bob: Visitor, robot: Agent
) -> None:
    async with Visitor(shared_server) as judge:
        await judge.register(name="Judge")
        assert (await judge.get("/admin/disputes")).status == 403
        change(shared_server, "UPDATE users SET role = 'admin' WHERE email = ?", judge.email)
        tasks = [await ann.task(max_revisions=revisions) for revisions in ("0", "1")]
        for task in tasks:
            await ann.fill(f"/tasks/{task}", f"accept-claim-{await robot.claim(task)}")
        work = await robot.deliver(tasks[0])
        page = await ann.fill(f"/tasks/{tasks[0]}", f"reject-work-{work}", reason="Not sorted.")
        assert page.path == f"/tasks/{tasks[0]}?done=rejected"
        assert "Why it was rejected Not sorted." in page.text
        await robot.deliver(tasks[1])
        page = await ann.fill(f"/tasks/{tasks[1]}", "dispute", reason="Not even numbers.")
        assert "Not even numbers." in page.text
        assert "For review" not in page.text
        assert "Not even numbers." in (await bob.get(f"/tasks/{tasks[1]}")).text
        listed = await judge.get("/admin/disputes")
        assert all(f"/tasks/{task}" in listed.html for task in tasks)
        dashboard = await judge.get("/dashboard")
        assert "Nothing waits for you" not in dashboard.text
        assert all(f"/tasks/{task}" in dashboard.html for task in tasks)
        page = await judge.fill(f"/tasks/{tasks[0]}", "resolve", note="I have not chosen.")
        assert (page.status, "Needs one of the choices." in page.inside("resolve")) == (422, True)
        page = await judge.send(page, "resolve", outcome="agent", note="They are sorted.")
        assert page.path == f"/tasks/{tasks[0]}?done=resolved"
        assert "Decided for the agent" in page.text
        await judge.fill(f"/tasks/{tasks[1]}", "resolve", outcome="poster")
        assert "Nothing is disputed." in (await judge.get("/admin/disputes")).text
        assert "+180" in (await bob.get("/dashboard/ledger")).text
        assert "Refund" in (await ann.get("/dashboard/ledger")).text


async def test_an_admin_suspends_and_deposits(shared_server: Server, ann: Visitor, bob: Visitor, robot: Agent) -> None:
    async with Visitor(shared_server) as judge:
        await judge.register(name="Judge")
        assert "suspended" not in str((await judge.get(f"/agents/{robot.id}")).forms)
        change(shared_server, "UPDATE users SET role = 'admin' WHERE email = ?", judge.email)
        page = await judge.fill(f"/agents/{robot.id}", f"suspended-{robot.id}")
        assert page.path == f"/agents/{robot.id}?done=suspended"
        assert "only an admin lifts that" in (await bob.get("/dashboard/agents")).text
        token = (await bob.get("/dashboard")).forms["logout"].values["form_token"]
        answer = await bob.post(f"/dashboard/agents/{robot.id}/resume", {"form_token": token})
        assert (answer.status, "Only admins do this." in answer.text) == (403, True)
        await judge.fill(f"/agents/{robot.id}", f"active-{robot.id}")
        number = (await bob.get("/dashboard/account")).text.partition("User ")[2].partition(",")[0]
        page = await judge.fill("/admin/disputes", "deposit", user_id=number, amount="25", description="A prize")
        assert page.path == "/admin/disputes?done=deposited"
        assert "A prize" in (await bob.get("/dashboard/ledger")).text
        page = await judge.fill("/admin/disputes", "deposit", user_id="99999", amount="25")
        assert (page.status, "User 99999 does not exist." in page.inside("deposit")) == (404, True)
        token = (await ann.get("/dashboard")).forms["logout"].values["form_token"]
        gift = {"form_token": token, "user_id": number, "amount": "9"}
        assert (await ann.post("/admin/deposit", gift)).status == 403


async def test_a_refusal_stands_beside_its_form(ann: Visitor, robot: Agent) -> None:
    task = await ann.task()
    claim = await robot.claim(task)
    before = await ann.get(f"/tasks/{task}")
    await ann.fill(f"/tasks/{task}", f"reject-claim-{claim}")
    second = await robot.claim(task)
    page = await ann.send(before, f"accept-claim-{claim}")  # which is not there any more
    assert page.status == 409
    assert f"Claim {claim} is rejected." in page.text
    assert page.path == f"/tasks/{task}/claims/{claim}/accept"
    assert (await ann.get(page.path)).path == f"/tasks/{task}"  # whoever loads that address anew gets the task
    await ann.fill(f"/tasks/{task}", f"accept-claim-{second}")
    work = await robot.deliver(task)
    page = await ann.fill(f"/tasks/{task}", f"revision-{work}", revision_notes="  ")
    assert (page.status, page.wrong(f"revision-{work}")) == (422, ["revision_notes"])
    assert f'<details class="deed" open id="revision-{work}-box">' in page.html
    page = await ann.fill(f"/tasks/{task}", "dispute", reason="x" * 5001)
    assert (page.status, page.wrong("dispute")) == (422, ["reason"])
    assert page.forms["dispute"].values["reason"] == "x" * 5001
    page = await ann.fill("/dashboard/tasks/new", "post-task", **{**TASK, "deadline": "2001-01-01T00:00"})
    assert (page.status, page.wrong("post-task")) == (422, ["deadline"])
    assert page.text.count("Choose a time that is still to come") == 1
    assert page.forms["post-task"].values["deadline"] == "2001-01-01T00:00"


async def test_nobody_does_to_others_what_is_theirs(
    shared_server: Server, ann: Visitor, bob: Visitor, robot: Agent
) -> None:
    task = await ann.task()
    claim = await robot.claim(task)
    token = (await bob.get("/dashboard")).forms["logout"].values["form_token"]
    paths = [f"/tasks/{task}/cancel", f"/tasks/{task}/claims/{claim}/accept", f"/tasks/{task}/claims/{claim}/reject"]
    for path in paths:
        answer = await bob.post(path, {"form_token": token})
        assert (answer.status, "was posted by somebody else" in answer.text) == (403, True), path
    token = (await ann.get("/dashboard")).forms["logout"].values["form_token"]
    for deed in ("rotate", "revoke", "pause"):
        answer = await ann.post(f"/dashboard/agents/{robot.id}/{deed}", {"form_token": token})
        assert (answer.status, "is somebody else's" in answer.text) == (403, True), deed
    async with Visitor(shared_server) as nobody:
        for path in paths:
            assert (await nobody.post(path, {"form_token": token})).status == 401
    assert await robot.claim(await ann.task())  # its key still holds


MORE = {"capabilities": "python, sql,python,", "category_ids": "2"}


async def test_an_agent_s_key_is_shown_once(bob: Visitor) -> None:
    page = await bob.fill(
        "/dashboard/agents", "register-agent", **AGENT, capabilities="python, sql,python,", category_ids="2"
    )
    assert page.status == 200
    key = page.html.partition('id="api-key" tabindex="0">')[2][:73]
    assert key.startswith("th_agent_")
    assert "data-live" not in page.html  # a refresh would take it away
    assert "vault-client hive me --server ws://127.0.0.1:" in page.text
    assert "--key-file agent.key" in page.text
    assert page.html.count(key) == 1
    listed = await bob.get("/dashboard/agents")
    assert key not in listed.html
    assert f"{key[:14]}…" in listed.text
    [number] = [form.partition("-")[2] for form in listed.forms if form.startswith("rotate-")]
    profile = await bob.get(f"/agents/{number}")
    assert "python sql" in profile.text
    assert "Writing" in profile.text
    assert key[:14] not in profile.html
    agent = Agent(bob.origin, key, int(number))
    page = await bob.send(listed, f"paused-{number}")
    assert page.path == "/dashboard/agents?done=paused"
    with pytest.raises(AssertionError, match="FORBIDDEN"):
        await agent.claim(1)
    await bob.fill("/dashboard/agents", f"active-{number}")
    page = await bob.fill("/dashboard/agents", f"rotate-{number}")
    renewed = page.html.partition('id="api-key" tabindex="0">')[2][:73]
    assert renewed not in ("", key)
    with pytest.raises(AssertionError, match="UNAUTHORIZED"):
        await agent.claim(1)
    page = await bob.fill("/dashboard/agents", f"revoke-{number}")
    assert "none; make a new one" in page.text
    with pytest.raises(AssertionError, match="UNAUTHORIZED"):
        await Agent(bob.origin, renewed, int(number)).claim(1)


async def test_roles_are_offered_what_is_theirs(shared_server: Server) -> None:
    async with Visitor(shared_server) as poster, Visitor(shared_server) as operator:
        await poster.register(role="poster")
        await operator.register(role="operator")
        assert "register-agent" not in (await poster.get("/dashboard/agents")).forms
        assert "Your account posts tasks only." in (await poster.get("/dashboard/agents")).text
        assert "Post a task" not in (await operator.get("/dashboard")).text
        page = await operator.get("/dashboard/tasks/new")
        assert ("post-task" in page.forms, "Your account runs agents only" in page.text) == (False, True)
        token = page.forms["logout"].values["form_token"]
        page = await operator.post("/dashboard/tasks/new", {**TASK, "form_token": token})
        assert (page.status, "Your role is operator" in page.text, TASK["title"] in page.html) == (403, True, True)


async def test_who_is_told_of_a_task(ann: Visitor) -> None:
    page = await ann.fill("/dashboard/tasks/new", "post-task", **TASK)
    assert "Agents find it in the list of open tasks." in page.text
    page = await ann.fill("/dashboard/tasks/new", "post-task", **TASK, category_id="1")
    assert "Agents of its category have been told." in page.text


async def test_an_account_keeps_a_name_and_an_https_picture(ann: Visitor) -> None:
    for changed in ({"name": ""}, {"name": "  "}, {"avatar_url": "http://a.example/me.png"}):
        page = await ann.fill("/dashboard/account", "account", **changed)
        assert (page.status, page.wrong("account")) == (422, [*changed])
    assert (await ann.get("/dashboard/account")).forms["account"].values["name"] == "Ann"


async def test_a_claim_that_came_to_an_end_says_no_more_than_is_known(ann: Visitor, robot: Agent) -> None:
    task = await ann.task()
    await ann.fill(f"/tasks/{task}", f"accept-claim-{await robot.claim(task)}")
    page = await ann.fill(f"/tasks/{task}", "rollback")
    assert '<span class="status withdrawn">Ended</span>' in page.html


async def test_looking_for_tasks(shared_server: Server, ann: Visitor) -> None:
    for number in range(22):
        await ann.task(title=f"Translate letter {number}", category_id="6", budget_credits=str(3000 + number))
    async with Visitor(shared_server) as nobody:
        wanted = {"category": "6", "min_budget": "3000", "sort": "budget_high"}
        first = await nobody.get("/tasks", params=wanted)
        assert first.text.count("Translate letter") == 20
        [more] = [held["href"] for tag, held in first.tags if tag == "a" and held.get("rel") == "next"]
        second = await nobody.get(more)
        assert (second.text.count("Translate letter"), "Translate letter 0" in second.text) == (2, True)
        assert [held["href"] for tag, held in second.tags if "rel" in held and held["rel"] == "next"] == []
        assert first.forms["filters"].values["min_budget"] == "3000"
        found = await nobody.get("/tasks", params={"q": "letter 17", "category": "6"})
        assert found.text.count("Translate letter") == 1
        assert "No task fits." in (await nobody.get("/tasks", params={"q": "nothing like it"})).text
        page = await nobody.get("/tasks", params={"status": "bogus", "min_budget": "abc"})
        assert (page.status, page.wrong("filters")) == (400, ["status", "min_budget"])
        page = await nobody.get("/tasks", params={"min_budget": "9", "max_budget": "8"})
        assert (page.status, page.wrong("filters")) == (400, ["min_budget"])
        page = await nobody.get("/tasks", params={"cursor": "abc"})
        assert (page.status, "Begin with the first page of the list." in page.inside("filters")) == (400, True)
        wrong = await nobody.get(more.replace("budget_high", "oldest"))
        assert (wrong.status, "Begin with the first page" in wrong.inside("filters")) == (400, True)
        wrong = await nobody.get("/tasks", params={"min_budget": "-1", "cursor": "%"})
        assert wrong.status == 400
        assert wrong.wrong("filters") == ["min_budget"]
        for said in ("Needs a whole number from 0 to 1000000000, or nothing.", "Page of the list: Needs"):
            assert said in wrong.text
    own = await ann.get("/dashboard/tasks", params={"status": "open"})
    assert own.text.count("Translate letter") == 20
