// SPDX-License-Identifier: GPL-2.0-or-later
// A dependency that an enforcing kernel refuses.
#include <linux/module.h>

int judge_unsigned(void)
{
	return 0;
}
EXPORT_SYMBOL(judge_unsigned);

MODULE_DESCRIPTION("A module for the judge");
MODULE_LICENSE("GPL");
