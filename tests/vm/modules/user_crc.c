// SPDX-License-Identifier: GPL-2.0-or-later
// As user; gets a wrong checksum for a symbol of exporter.
#include "user.c"
