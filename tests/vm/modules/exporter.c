// SPDX-License-Identifier: GPL-2.0-or-later
// Two symbols for others.
#include <linux/module.h>

int judge_answer(void)
{
	return 42;
}
EXPORT_SYMBOL_GPL(judge_answer);

int judge_question(void)
{
	return 6 * 9;
}
EXPORT_SYMBOL(judge_question);

MODULE_DESCRIPTION("A module for the judge");
MODULE_LICENSE("GPL");
