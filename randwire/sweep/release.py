"""Gives back the places of worker groups that Ray Train forgets.

Train removes the placement group of workers only if their end goes as it expects: of one that Ray ended for want of
memory, or that dies while the group starts, it keeps the place until the sweep ends, and the next start waits in vain.
"""

from typing import Any

import ray
from ray._private.state import state as cluster_state
from ray.core.generated import gcs_pb2
from ray.train.v2._internal.execution.callback import ControllerCallback, WorkerGroupCallback
from ray.util.placement_group import PlacementGroup, remove_placement_group


class Release(ControllerCallback, WorkerGroupCallback):
    """A callback of Train's controller, whose process makes all of its placement groups, one after the other."""

    def before_worker_group_start(self, worker_group_context: Any) -> None:
        _release()

    async def before_controller_shutdown(self) -> None:
        _release()


def _release() -> None:
    """Remove every placement group that this actor has made."""
    table: Any = gcs_pb2.PlacementGroupTableData  # type: ignore[attr-defined] # made when it is imported
    maker = ray.get_runtime_context().get_actor_id()
    for data in cluster_state._connect_and_get_accessor().get_placement_group_table():
        group = table.FromString(data)
        if group.creator_actor_id.hex() == maker and group.state != table.REMOVED:
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))
