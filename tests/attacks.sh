#!/bin/bash
# Attacks on dkms, each with a name and a line that says what must not happen: `tests/attacks.sh [NAME...]`.
#
# They run as root in one private root (tests/private.sh); tests/attacks/inside.sh has them. What is asked of an image, a journal or a
# module file is in tests/scenarios and tests/vm.
set -euo pipefail
# shellcheck source=tests/private.sh disable=SC1091
. "$(dirname "$0")/private.sh"
needs python3 setpriv gcc make
private 'headers-6.1' bash /e2e/attacks/inside.sh "$@"
