/* SPDX-License-Identifier: MIT */

/* A public header by itself: compiled as strict C99 and as C++11, it needs
 * nothing before it, and again is fine. */
#include HEADER
#include HEADER

int main()
{
    return 0;
}
