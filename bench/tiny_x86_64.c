/* SPDX-License-Identifier: MIT */

/* The program that commands_bench starts: exit(0) and nothing else, without a C
 * library, so that what is measured is the cost of starting it and not its
 * own. 60 is the number of exit(2). */
__asm__(".text\n"
        ".globl _start\n"
        "_start:\n"
        "    xorl %edi, %edi\n"
        "    movl $60, %eax\n"
        "    syscall\n");
