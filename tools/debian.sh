#!/bin/sh
# debian.sh install SUITE             unpacks parts of a release of Debian into .deps/debian/SUITE
# debian.sh run SUITE PROGRAM ARG...  runs one of its programs: ruby, sidekiq, or one in usr/bin
#
# The programs run with their own C library, so any release of Debian can run them. Neither
# command installs anything on this machine or needs root.
set -eu
command=$1
suite=$2
root=$(cd "$(dirname "$0")/.." && pwd)/.deps/debian/$suite

# packages prints the packages of the suite that the tests need.
packages() {
	case $suite in
	bookworm) echo ruby-sidekiq ruby-activejob ruby-redis-namespace redis-server ;;
	trixie) echo ruby-sidekiq ruby-activejob redis-server valkey-server ;;
	sid) echo ruby-sidekiq ruby-activejob ruby-json ;;
	*)
		echo "unknown release of Debian: $suite; use bookworm, trixie or sid" >&2
		return 2
		;;
	esac
}

install() {
	packages >/dev/null
	if packages | cmp -s - "$root/packages"; then
		return
	fi
	echo "Installing for the tests: $(packages), of Debian $suite"
	for program in apt-get dpkg; do
		if ! command -v "$program" >/dev/null; then
			echo "cannot install parts of Debian $suite: there is no $program on this machine; use Debian" >&2
			return 1
		fi
	done
	mirror=$(mirror)
	if [ -z "$mirror" ]; then # apt may not have its lists yet
		apt-get -qq update || true # without root, for example
		mirror=$(mirror)
	fi
	if [ -z "$mirror" ]; then
		echo "cannot install parts of Debian $suite: apt knows no mirror of Debian; add one to apt's sources, and run apt-get update as root" >&2
		return 1
	fi
	apt=$root.apt
	rm -rf "$apt" "$root.new"
	mkdir -p "$apt/etc/apt/preferences.d" "$apt/var/lib/dpkg" "$apt/var/lib/apt/lists/partial" "$apt/var/cache/apt/archives/partial"
	: >"$apt/var/lib/dpkg/status"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$apt/etc/apt/sources.list"
	private_apt update
	# shellcheck disable=SC2046 # a list
	private_apt install --yes --download-only --no-install-recommends $(packages)
	for package in "$apt"/var/cache/apt/archives/*.deb; do
		dpkg -x "$package" "$root.new"
	done
	# If the suite has changed too much for run, its installation fails here, not in each test.
	"$0" run "$suite.new" ruby -e 'require "json"; require "active_job"; require "sidekiq"; require "sidekiq/api"; require "sidekiq/web"'
	packages >"$root.new/packages"
	rm -rf "$apt" "$root"
	mv "$root.new" "$root"
}

# mirror prints the mirror of Debian that apt uses.
mirror() {
	# shellcheck disable=SC2016 # apt expands it
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -n 1
}

# private_apt runs apt-get with only the suite and without installed packages. It accepts
# an old list of packages, because an outdated mirror is better than none. Packages from
# the mirror are signed in any case.
private_apt() {
	apt-get -qq -o "Dir=$apt" -o "Dir::State::status=$apt/var/lib/dpkg/status" -o APT::Sandbox::User= \
		-o Acquire::Check-Valid-Until=false -o Acquire::Languages=none -o Acquire::Retries=3 "$@"
}

run() {
	program=$1
	shift
	case $program in
	sidekiq) set -- "$root"/usr/share/rubygems-integration/all/gems/sidekiq-*/bin/sidekiq "$@" ;;
	esac
	case $program in
	ruby | sidekiq) set -- "$root"/usr/bin/ruby?.? "$@" ;;
	*) set -- "$root/usr/bin/$program" "$@" ;;
	esac
	# Ruby searches here before the machine's own directories, and searches for gems only here.
	gems=$root/usr/share/rubygems-integration/all
	RUBYLIB=$(printf %s: "$gems"/gems/*/lib "$gems"/gems/concurrent-ruby-*/lib/concurrent-ruby \
		"$root"/usr/lib/*/rubygems-integration/*/gems/*/lib "$root"/usr/lib/*/rubygems-integration/*/extensions/*/*/* \
		"$root"/usr/lib/ruby/vendor_ruby "$root"/usr/lib/*/ruby/vendor_ruby/* "$root"/usr/lib/ruby/?.?.0 "$root"/usr/lib/*/ruby/?.?.0)
	GEM_PATH=$(printf %s: "$gems" "$root"/usr/lib/*/rubygems-integration/* "$root"/usr/lib/ruby/gems/*)
	export RUBYLIB GEM_PATH GEM_HOME="$gems"
	libraries=$(printf %s: "$root"/lib/*-linux-gnu* "$root"/usr/lib/*-linux-gnu*)
	for loader in "$root"/lib/*/ld-linux*.so.? "$root"/usr/lib/*/ld-linux*.so.?; do
		[ ! -f "$loader" ] || exec "$loader" --library-path "$libraries" "$@"
	done
	echo "$root has no dynamic loader" >&2
	return 1
}

shift 2
"$command" "$@"
