"""The subnet as `app.py` takes it: its door, operations, pushes and deadlines."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from protocol import subnet as wire
from vault_server.core.operation import Door, Endpoint, Operation, System
from vault_server.systems.subnet import allowances, attending, contributing, listing, orders, showing, upkeep, voting
from vault_server.systems.subnet import operations as does
from vault_server.systems.subnet.gauges import GAUGES
from vault_server.systems.subnet.invariants import INVARIANTS
from vault_server.systems.subnet.pushes import pushes
from vault_server.systems.subnet.records import Parts
from vault_server.systems.subnet.reports import REPORTS

PARTICIPANT = frozenset({Endpoint.SUBNET})
ITSELF = frozenset({Endpoint.SERVER})


def subnet(parts: Parts) -> System:
    """The whole system, built with its parts."""

    def operation(order: type, handler: Callable[..., Any], callers: frozenset[Endpoint] = PARTICIPANT) -> Operation:
        return Operation(order, callers, partial(handler, parts), allowance=allowances.USES.get(order))

    return System(
        name="subnet",
        doors=[
            Door(
                wire.SUBNET_PATH,
                Endpoint.SUBNET,
                frame_bytes_max=parts.settings.subnet_frame_bytes_max,
                left=orders.LeaveParticipant,
            )
        ],
        operations=[
            operation(wire.Register, attending.register),
            operation(wire.CreateTask, does.create_task),
            operation(wire.CancelTask, does.cancel_task),
            operation(wire.SubmitCompletion, does.submit_completion),
            operation(wire.Vote, voting.vote),
            operation(wire.ListTasks, listing.list_tasks),
            operation(wire.GetTask, showing.get_task),
            operation(wire.ListVotes, listing.list_votes),
            operation(wire.GetParticipant, listing.get_participant),
            operation(wire.AskScoreHistory, listing.score_history),
            operation(wire.AddContributor, contributing.add_contributor),
            operation(wire.RevokeContributor, contributing.revoke_contributor),
            operation(wire.LeaveMiner, contributing.leave_miner),
            operation(wire.ListContributors, contributing.list_contributors),
            operation(orders.StartServing, upkeep.start_serving, ITSELF),
            operation(orders.ExcuseParticipants, upkeep.excuse_participants, ITSELF),
            operation(orders.LeaveParticipant, upkeep.leave_participant),
            operation(orders.ExpireTask, upkeep.expire_task, ITSELF),
            operation(orders.CloseVoting, upkeep.close_voting, ITSELF),
        ],
        pushes=pushes(parts),
        deadlines={
            "expire_subnet_task": lambda subject: orders.ExpireTask(int(subject)),
            "close_voting": lambda subject: orders.CloseVoting(int(subject)),
        },
        penalties={Endpoint.SUBNET: upkeep.reduce_reputation},
        reports=REPORTS,
        invariants=INVARIANTS,
        gauges=GAUGES,
        starting=[orders.StartServing()],
        absent=[upkeep.node_is_gone],
        returned=[upkeep.node_is_back],
        waking=[orders.ExcuseParticipants()],
    )
