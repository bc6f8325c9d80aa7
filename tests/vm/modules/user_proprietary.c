// SPDX-License-Identifier: GPL-2.0-or-later
// A GPL-only symbol of the kernel and a symbol of a proprietary module at once.
#include <linux/module.h>
#include <linux/debugfs.h>

int judge_proprietary(void);

static int __init judge_init(void)
{
	debugfs_remove(debugfs_create_dir("judge", NULL));
	pr_info("%d\n", judge_proprietary());
	return 0;
}

static void __exit judge_exit(void)
{
}

module_init(judge_init);
module_exit(judge_exit);

MODULE_DESCRIPTION("A module for the judge");
MODULE_LICENSE("GPL");
