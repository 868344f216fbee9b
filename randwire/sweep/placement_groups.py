"""Removes placement groups of workers that Ray Train forgets.

Train removes the placement group of workers only if their end goes as it expects: of one that Ray ended for want of
memory, or that dies while the group starts, it keeps the group until the sweep ends, and the next start waits in vain.
"""

from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, remove_placement_group

from randwire.sweep.ray_internals import ControllerCallback, WorkerGroupCallback, placement_groups_of


class PlacementGroupCleanup(ControllerCallback, WorkerGroupCallback):
    """A callback of Train's controller, whose process makes all of its placement groups, one after the other."""

    def before_worker_group_start(self, worker_group_context: Any) -> None:
        _release()

    async def before_controller_shutdown(self) -> None:
        _release()


def _release() -> None:
    """Remove every placement group that this actor has made."""
    for group in placement_groups_of(ray.get_runtime_context().get_actor_id()):
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(group)))
