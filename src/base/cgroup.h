/* SPDX-License-Identifier: MIT */
#ifndef RIP_BASE_CGROUP_H
#define RIP_BASE_CGROUP_H

/*
 * The control group that this process is in. `root` stands before the path of
 * every file that is read: "", or a folder that a test has made.
 */

#include <stdbool.h>
#include <stddef.h>

/* Its folder, to be freed, of which the first *mount_len bytes are where its
 * hierarchy is mounted: that of version 2, or with `controller` that of this
 * controller in version 1. NULL: there is none that is seen here, or no memory
 * to find it. */
char *rip__cgroup_path(const char *root, const char *controller,
                       size_t *mount_len);

/* A file in such a folder, as rip__os_slurp. */
bool rip__cgroup_read(const char *root, const char *path, const char *file,
                      char *buf, size_t cap);

#endif
