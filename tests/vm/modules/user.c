// SPDX-License-Identifier: GPL-2.0-or-later
// Needs exporter.
#include <linux/module.h>

int judge_answer(void);
int judge_question(void);

static int __init judge_init(void)
{
	pr_info("%d %d\n", judge_answer(), judge_question());
	return 0;
}

static void __exit judge_exit(void)
{
}

module_init(judge_init);
module_exit(judge_exit);

MODULE_DESCRIPTION("A module for the judge");
MODULE_LICENSE("GPL");
