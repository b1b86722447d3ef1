/* SPDX-License-Identifier: MIT */
#ifndef CLI_RUN_H
#define CLI_RUN_H

/* `ripstop run`: argv[0] is "run". Gives the exit status. */
int run_main(int argc, char **argv);

#endif
