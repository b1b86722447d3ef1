/* SPDX-License-Identifier: MIT */

/* The program that commands_bench starts, where there is no tiny_ARCH.c: linked
 * statically, it does next to nothing before and after this. */
int main(void)
{
    return 0;
}
