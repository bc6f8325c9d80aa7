/* SPDX-License-Identifier: GPL-2.0-or-later */
void greet(const char *whom);
