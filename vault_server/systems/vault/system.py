"""The vault as `app.py` takes it: its doors, operations, pushes, jobs and deadlines."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from protocol import vault as wire
from vault_server.core.operation import Door, Endpoint, Operation, SealedColumn, System
from vault_server.systems.vault import allowances, complaints, hearings, orders, rulings, traps, upkeep
from vault_server.systems.vault import operations as does
from vault_server.systems.vault.assigning import AGAIN, EXPIRE, assign_again
from vault_server.systems.vault.checking import checking_job, go_on_checking, record_check
from vault_server.systems.vault.evidence import DISTRUSTED, PENALTIES, forget_good_days
from vault_server.systems.vault.gauges import GAUGES
from vault_server.systems.vault.inspection import Inspector
from vault_server.systems.vault.invariants import INVARIANTS
from vault_server.systems.vault.judging import judge_job
from vault_server.systems.vault.listing import list_tasks
from vault_server.systems.vault.outcomes import SETTLE
from vault_server.systems.vault.proofs import verifying_job
from vault_server.systems.vault.pushes import pushes
from vault_server.systems.vault.records import Parts
from vault_server.systems.vault.relays import relay_checkpoint
from vault_server.systems.vault.reports import REPORTS

CLIENT = frozenset({Endpoint.CLIENT})
SOLVER = frozenset({Endpoint.SOLVER})
ITSELF = frozenset({Endpoint.SERVER})


SEALED = [
    *(
        SealedColumn("tasks", column, row="fingerprint", owner="client_id")
        for column in ("parameter_t", "parameter_baseg", "parameter_product", "answer")
    ),
    SealedColumn("task_assignments", "answer", row="db_key", owner="solver_id"),
    SealedColumn("proofs", "proof", row="assignment_id", owner="solver_id", key="assignment_id"),
    SealedColumn("relays", "residues", row="assignment_id", owner="solver_id", key="assignment_id"),
    SealedColumn("complaints", "factor", row="id", owner="client_id", key="id"),
]


def vault(parts: Parts) -> System:
    """The whole system, built with its parts."""
    inspector = Inspector(parts.settings)

    def operation(order: type, callers: frozenset[Endpoint], handler: Callable[..., Any]) -> Operation:
        return Operation(order, callers, partial(handler, parts), allowance=allowances.USES.get(order))

    return System(
        name="vault",
        doors=[
            Door(wire.CLIENT_PATH, Endpoint.CLIENT),
            Door(
                wire.SOLVER_PATH,
                Endpoint.SOLVER,
                exclusive=True,
                joined=orders.JoinSolver,
                left=orders.LeaveSolver,
            ),
        ],
        operations=[
            Operation(
                wire.SubmitPuzzle,
                CLIENT,
                partial(does.submit_puzzle, parts),
                check=inspector.check,
                checked=inspector.is_quick,
            ),
            operation(wire.AskStatus, CLIENT, does.ask_status),
            operation(wire.CancelTask, CLIENT, does.cancel_task),
            operation(wire.ListTasks, CLIENT, list_tasks),
            Operation(
                wire.Complain,
                CLIENT,
                partial(complaints.complain, parts),
                check=partial(complaints.check_factor, parts),
                checked=complaints.has_no_factor,
            ),
            operation(wire.RespondToComplaint, SOLVER, hearings.respond_to_complaint),
            operation(wire.UpdateStatus, SOLVER, does.update_status),
            operation(wire.AcceptAssignment, SOLVER, does.accept_assignment),
            operation(wire.ReportProgress, SOLVER, does.report_progress),
            operation(wire.SubmitAnswer, SOLVER, does.submit_answer),
            operation(wire.ReturnAssignment, SOLVER, does.return_assignment),
            operation(wire.RelayCheckpoint, SOLVER, relay_checkpoint),
            operation(orders.StartServing, ITSELF, upkeep.start_serving),
            operation(orders.ExcuseSolvers, ITSELF, upkeep.excuse_solvers),
            operation(orders.JoinSolver, SOLVER, upkeep.join_solver),
            operation(orders.LeaveSolver, SOLVER, upkeep.leave_solver),
            operation(orders.ExpireAssignment, ITSELF, upkeep.expire_assignment),
            operation(orders.AssignAgain, ITSELF, assign_again),
            operation(orders.SettleTask, ITSELF, upkeep.settle_task),
            operation(orders.RecordJudgement, ITSELF, upkeep.record_judgement),
            operation(orders.RecordProof, ITSELF, upkeep.record_proof),
            operation(orders.LookForTraps, ITSELF, traps.look_for_traps),
            operation(orders.IssueTrap, ITSELF, traps.issue_trap),
            operation(orders.GoOnChecking, ITSELF, go_on_checking),
            operation(orders.RecordCheck, ITSELF, record_check),
            operation(orders.OfferToDistrusted, ITSELF, upkeep.offer_again),
            operation(orders.RuleComplaint, ITSELF, hearings.rule_complaint),
            operation(orders.RecordComparison, ITSELF, rulings.record_comparison),
        ],
        pushes=pushes(parts),
        jobs=[
            judge_job(parts),
            verifying_job(parts),
            traps.making_job(parts),
            rulings.comparing_job(parts),
            checking_job(parts),
        ],
        deadlines={
            EXPIRE: lambda subject: orders.ExpireAssignment(int(subject)),
            AGAIN: orders.AssignAgain,
            SETTLE: orders.SettleTask,
            DISTRUSTED: lambda _subject: orders.OfferToDistrusted(),
            traps.LOOK: lambda _subject: orders.LookForTraps(),
            hearings.RULE: lambda subject: orders.RuleComplaint(int(subject)),
        },
        penalties=PENALTIES,
        sealed=SEALED,
        reports=REPORTS,
        invariants=INVARIANTS,
        gauges=GAUGES,
        tidying=[forget_good_days],
        absent=[upkeep.take_solvers_offline],
        returned=[upkeep.bring_solvers_back],
        starting=[orders.StartServing()],
        waking=[orders.ExcuseSolvers()],
    )
