// SPDX-License-Identifier: GPL-2.0-or-later
// Proprietary, with symbols for everybody only.
#include <linux/module.h>

static int __init judge_init(void)
{
	pr_info("here\n");
	return 0;
}

static void __exit judge_exit(void)
{
}

module_init(judge_init);
module_exit(judge_exit);

MODULE_DESCRIPTION("A module for the judge");
MODULE_LICENSE("Proprietary");
