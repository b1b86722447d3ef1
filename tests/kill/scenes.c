/* SPDX-License-Identifier: MIT */
/* Every scene: add yours here. */
#include "scenes.h"

const struct kill_object *const kill_objects[] = {
    &scene_toy,
    &scene_toy_pid,
    &scene_toy_lease,
    &scene_toy_deaf,
    &scene_toy_count,
    &scene_toy_split,
    &scene_lock,
    &scene_rlock,
    &scene_rwlock,
    &scene_readers,
    &scene_cond,
    &scene_once,
    &scene_event,
    &scene_permits,
    &scene_signals,
    &scene_barrier,
    &scene_latch,
    &scene_member,
    &scene_alloc,
    &scene_large,
    &scene_names,
    &scene_named,
    &scene_queue,
    &scene_medley,
    NULL,
};
