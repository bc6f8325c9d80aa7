// SPDX-License-Identifier: GPL-2.0-or-later
// A symbol that the kernel has and does not export.
#include <linux/module.h>

int do_unlinkat(int dfd, void *name);

static int never;
module_param(never, int, 0444);

static int __init judge_init(void)
{
	if (never)
		do_unlinkat(0, NULL);
	return 0;
}

static void __exit judge_exit(void)
{
}

module_init(judge_init);
module_exit(judge_exit);

MODULE_DESCRIPTION("A module for the judge");
MODULE_LICENSE("GPL");
