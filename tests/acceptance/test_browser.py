"""The pages in a real browser: a task from posting to review, seen as it happens; by keyboard; without JavaScript."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from protocol import hive as wire
from protocol import hive_replies as reply
from tests.acceptance.browsing import Tab, browser
from tests.hive_dialling import HiveSocket, dial_hive
from tests.processes import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS = {"hive_requests_max": 10_000}
DESCRIPTION = "There are twelve numbers, to be sorted."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    async with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


async def tab_of(started: Browser, server: Server, name: str, **options: bool) -> Tab:
    tab = await Tab.open(started, f"http://127.0.0.1:{server.http_port}", **options)
    await tab.register(name)
    return tab


async def agent_of(tab: Tab) -> str:
    """One more agent of somebody's; its key, as the page shows it once."""
    await tab.go("/dashboard/agents")
    await tab.fill("register-agent", name="robot", description="It sorts.", capabilities="sorting, python")
    await tab.send("register-agent")
    key = await tab.page.text_content("#api-key")
    assert key is not None
    return key


async def post(tab: Tab, title: str) -> int:
    await tab.go("/dashboard/tasks/new")
    await tab.fill("post-task", title=title, description=DESCRIPTION, budget_credits="200", deadline="2030-01-31T12:00")
    await tab.send("post-task")
    return int((await tab.path()).removeprefix("/tasks/").partition("?")[0])


async def claim(robot: HiveSocket, task: int) -> int:
    order = wire.ClaimTask(task_id=task, proposed_credits=150, message="<b>I am quick.</b>")
    return (await robot.ask(order, reply.ClaimShown)).claim.id


async def deliver(robot: HiveSocket, task: int, content: str) -> int:
    return (await robot.ask(wire.Deliver(task_id=task, content=content), reply.DeliverableShown)).deliverable.id


async def test_a_task_from_registration_to_review_without_a_reload(shared_server: Server, started: Browser) -> None:
    ann, bob = await tab_of(started, shared_server, "Ann"), await tab_of(started, shared_server, "Bob")
    await ann.shows("#balance", "500")
    async with await dial_hive(shared_server.url, key=await agent_of(bob)) as robot:
        task = await post(ann, "Sort these numbers")
        await ann.is_live()
        loads = ann.loads
        bid = await claim(robot, task)
        await ann.shows(f"#claim-{bid}", "<b>I am quick.</b>")
        await ann.shows(".notice", f"A new claim: task {task}")
        assert ann.loads == loads
        await ann.send(f"accept-claim-{bid}")
        await robot.pushed(reply.ClaimWon)
        await ann.is_live()
        loads = ann.loads
        first = await deliver(robot, task, "<script>document.title='broken in'</script> 1, 2")
        await ann.shows(f"#work-{first}", "broken in")
        assert ann.loads == loads
        await ann.page.click(f"#revision-{first}-box summary")
        await ann.fill(f"revision-{first}", revision_notes="3 is missing.")
        await ann.send(f"revision-{first}")
        event, _ = await robot.pushed(reply.RevisionRequested)
        assert event.revision_notes == "3 is missing."
        await ann.is_live()
        second = await deliver(robot, task, "1, 2, 3")
        await ann.shows(f"#work-{second}")
        await ann.send(f"accept-work-{second}")
        await ann.page.select_option("#review-form-rating", "5")
        await ann.fill("review-form", comment="Good & quick <3")
        await ann.send("review-form")
        await ann.shows("#review", "Good & quick <3")
        assert await ann.page.title() == "Sort these numbers – Hive"
    await bob.go("/dashboard/ledger")
    await bob.shows("#balance", "780")
    await bob.shows("td.n", "+180")
    assert [ann.complaints, bob.complaints] == [[], []]
    await ann.context.close()
    await bob.context.close()


async def test_what_is_being_typed_stays_while_the_page_changes(shared_server: Server, started: Browser) -> None:
    ann, bob = await tab_of(started, shared_server, "Ann"), await tab_of(started, shared_server, "Bob")
    async with await dial_hive(shared_server.url, key=await agent_of(bob)) as robot:
        task = await post(ann, "Sort these numbers")
        await ann.go("/dashboard/tasks/new")
        await ann.is_live()
        await ann.fill("post-task", title="Half a ti")
        await ann.page.focus("#post-task-title")
        await claim(robot, task)
        await ann.shows(".notice", f"task {task}")
        await ann.page.wait_for_load_state("networkidle")
        await ann.page.keyboard.type("tle")
        assert await ann.page.input_value("#post-task-title") == "Half a title"
        await ann.page.press("#post-task-title", "End")
        await ann.send("logout")
    assert ann.complaints == []
    await ann.context.close()
    await bob.context.close()


async def test_a_task_that_changes_under_a_half_written_text_gives_it_back(
    shared_server: Server, started: Browser
) -> None:
    ann, bob = await tab_of(started, shared_server, "Ann"), await tab_of(started, shared_server, "Bob")
    second = await ann.context.new_page()
    async with await dial_hive(shared_server.url, key=await agent_of(bob)) as robot:
        task = await post(ann, "Sort these numbers")
        await ann.is_live()
        bid = await claim(robot, task)
        await ann.shows(f"#claim-{bid}")
        await ann.send(f"accept-claim-{bid}")
        await ann.is_live()
        work = await deliver(robot, task, "1, 2")
        await ann.shows(f"#work-{work}")
        await ann.page.click(f"#revision-{work}-box summary")
        await ann.fill(f"revision-{work}", revision_notes="Where is")
        await second.goto(f"{ann.origin}/tasks/{task}")
        await second.click("#dispute-box summary")
        await second.fill("#dispute-reason", "There are not twelve.")
        await second.click("#dispute button")
        await ann.shows(".kept", "You were writing this when the task changed")
        assert await ann.page.input_value(".kept textarea") == "Where is"
        await ann.shows("h2", "Dispute")
    assert ann.complaints == []
    await ann.context.close()
    await bob.context.close()


async def test_by_keyboard_alone(shared_server: Server, started: Browser) -> None:
    tab = await Tab.open(started, f"http://127.0.0.1:{shared_server.http_port}")
    keys = tab.page.keyboard
    await tab.go("/register")
    await keys.press("Tab")
    assert await focused(tab) == "Skip to the content"
    await keys.press("Enter")
    for text in ("Kay", "kay@example.org", "a long password"):
        await keys.press("Tab")
        assert await is_outlined(tab)
        await keys.type(text)
    async with tab.page.expect_navigation():
        await keys.press("Enter")
    await tab.shows("#balance", "500")
    await tab_to(tab, "Post a task")
    await keys.press("Enter")
    await tab.shows("#post-task")
    await tab_to(tab, "post-task-title")
    for text in ("Sort these numbers", DESCRIPTION, "All of them.", "50"):
        await keys.type(text)
        await keys.press("Tab")
    await tab_to(tab, "Post the task")
    async with tab.page.expect_navigation():
        await keys.press("Space")
    await tab.shows("h1", "Sort these numbers")
    await tab_to(tab, "Cancel the task")
    await keys.press("Enter")
    await keys.press("Tab")
    async with tab.page.expect_navigation():
        await keys.press("Enter")
    await tab.shows(".done", "The task is cancelled.")
    assert tab.complaints == []
    await tab.context.close()


async def focused(tab: Tab) -> str:
    """The id of what has the focus, or its text."""
    found: str = await tab.page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()")
    return found


async def is_outlined(tab: Tab) -> bool:
    """Whether one sees where the focus is."""
    return bool(await tab.page.evaluate("getComputedStyle(document.activeElement).outlineStyle !== 'none'"))


async def tab_to(tab: Tab, wanted: str) -> None:
    for _ in range(60):
        await tab.page.keyboard.press("Tab")
        if await focused(tab) == wanted:
            assert await is_outlined(tab)
            return
    raise AssertionError(f"nobody gets to {wanted} by keyboard")


async def test_without_javascript_all_of_it_works(shared_server: Server, started: Browser) -> None:
    ann = await tab_of(started, shared_server, "Ann", java_script_enabled=False)
    bob = await tab_of(started, shared_server, "Bob", java_script_enabled=False)
    async with await dial_hive(shared_server.url, key=await agent_of(bob)) as robot:
        task = await post(ann, "Sort these numbers")
        bid = await claim(robot, task)
        await ann.page.reload()
        await ann.send(f"accept-claim-{bid}")
        work = await deliver(robot, task, "1, 2, 3")
        await ann.page.reload()
        await ann.page.click("#dispute-box summary")
        await ann.page.fill("#dispute-reason", "x")
        await ann.send(f"accept-work-{work}")
        await ann.shows(".done", "accepted and paid")
    assert [ann.complaints, bob.complaints] == [[], []]
    await ann.context.close()
    await bob.context.close()


async def test_who_was_logged_out_elsewhere_is_told(shared_server: Server, started: Browser) -> None:
    ann = await tab_of(started, shared_server, "Ann")
    await ann.is_live()
    cookies = {each["name"]: each["value"] for each in await ann.context.cookies()}
    other = await Tab.open(started, ann.origin)
    await other.context.add_cookies([{"name": "hive_session", "value": cookies["hive_session"], "url": ann.origin}])
    await other.go("/dashboard")
    await other.send("logout")
    await ann.shows(".notice", "You are logged out")
    await ann.context.close()
    await other.context.close()


async def test_nothing_is_wider_than_a_small_phone(shared_server: Server, started: Browser) -> None:
    tab = await tab_of(started, shared_server, "W" * 100)
    task = await post(tab, "W" * 200)
    await agent_of(tab)
    await tab.page.set_viewport_size({"width": 360, "height": 640})
    for path in ("/", "/tasks", "/dashboard", "/dashboard/tasks/new", f"/tasks/{task}", *OTHERS):
        await tab.go(path)
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await tab.page.evaluate(wide) == 0, path
    assert tab.complaints == []
    await tab.context.close()


OTHERS = ("/dashboard/agents", "/dashboard/ledger", "/dashboard/account")
