/* SPDX-License-Identifier: MIT */
#ifndef CLI_HELP_H
#define CLI_HELP_H

/* Each prints to stdout, and gives the exit status. */
int help_ripstop(void);
int help_run(void);
int help_inspect(void);
int help_version(void);

#endif
