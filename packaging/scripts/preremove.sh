#!/bin/sh
# Before a removal, but not before an upgrade: stop and disable all instances.
# dpkg passes "remove" or "upgrade", rpm the number of versions that remain.
set -e
case "$1" in remove | 0) ;; *) exit 0 ;; esac
[ -d /run/systemd/system ] || exit 0
systemctl list-units --all --plain --no-legend 'scout@*.service' | while read -r unit _; do
	systemctl disable --now "$unit"
done
