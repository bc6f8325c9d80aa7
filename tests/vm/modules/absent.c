// SPDX-License-Identifier: GPL-2.0-or-later
// Exports what orphan needs.
#include <linux/module.h>

int judge_absent(void)
{
	return 0;
}
EXPORT_SYMBOL(judge_absent);

MODULE_DESCRIPTION("A module for the judge");
MODULE_LICENSE("GPL");
