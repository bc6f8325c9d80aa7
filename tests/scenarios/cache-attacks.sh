# Entries of the cache that were changed: see tests/cache-attacks.py. Only ours: dkms 3 has no cache.
#: step what-is-wrong-is-found-and-not-used 0 ours
fixture single-1.0
dkms add single/1.0
dkms build single/1.0 -k "$K"
python3 /e2e/cache-attacks.py
