// SPDX-License-Identifier: GPL-2.0-or-later
// A weak symbol that no module exports: it stays zero.
#include <linux/module.h>

int __weak judge_nowhere(void);

static int __init judge_init(void)
{
	if (judge_nowhere)
		judge_nowhere();
	return 0;
}

static void __exit judge_exit(void)
{
}

module_init(judge_init);
module_exit(judge_exit);

MODULE_DESCRIPTION("A module for the judge");
MODULE_LICENSE("GPL");
