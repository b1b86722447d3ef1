/* SPDX-License-Identifier: MIT */
#ifndef RIP_BASE_CPUS_H
#define RIP_BASE_CPUS_H

/* The CPU quota of our control groups, rounded up to whole CPUs; UINT_MAX
 * when there is none or it can not be known. `root` stands before the path
 * of every file that is read: "", or a folder that a test has made. */
unsigned rip__cpu_quota(const char *root);

#endif
