#!/bin/sh
# After an install or an upgrade: restart running instances with the new binary.
set -e
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
systemctl try-restart 'scout@*.service'
