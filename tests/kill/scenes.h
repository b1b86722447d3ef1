/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_KILL_SCENES_H
#define RIP_TESTS_KILL_SCENES_H

#include "kill.h"

extern const struct kill_object scene_toy, scene_toy_pid, scene_toy_lease,
    scene_toy_deaf, scene_toy_count, scene_toy_split, scene_lock, scene_rlock,
    scene_rwlock, scene_readers, scene_cond, scene_once, scene_event,
    scene_permits, scene_signals, scene_barrier, scene_latch, scene_member,
    scene_alloc, scene_large, scene_names, scene_named, scene_queue,
    scene_medley;

#endif
