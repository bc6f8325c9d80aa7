#!/bin/bash
# The pages for people whose commands were run: runs them again, in a private root, and compares (see docs.py).
#   tests/docs.sh            all pages that have such blocks
#   tests/docs.sh --write    puts today's output into them
# shellcheck source=tests/private.sh
. "$(dirname "$0")/private.sh"
needs python3
failed=0
for page in docs/*.md; do
    grep -q '^```console' "$page" || continue
    if [[ ${1-} == --write ]]; then
        private 'headers-6.1 headers-6.12 image-6.1 dkms-debian' python3 /e2e/docs.py "/$page" --write >"$page.new" && mv "$page.new" "$page"
    else
        private 'headers-6.1 headers-6.12 image-6.1 dkms-debian' python3 /e2e/docs.py "/$page" || failed=1
    fi
done
exit "$failed"
