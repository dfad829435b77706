#!/bin/sh
# debian-ruby.sh install     unpacks Debian unstable's Ruby and json into .deps/debian-ruby
# debian-ruby.sh run ARG...  runs that Ruby
#
# It runs with its own C library, so nothing is installed on this machine, and any
# release of Debian can run it.
set -eu
dir=$(cd "$(dirname "$0")/.." && pwd)/.deps/debian-ruby

install() {
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -n 1)
	[ -n "$mirror" ] # not Debian
	apt=$dir.apt
	rm -rf "$apt" "$dir.new"
	mkdir -p "$apt/etc/apt/preferences.d" "$apt/var/lib/dpkg" "$apt/var/lib/apt/lists/partial" "$apt/var/cache/apt/archives/partial"
	: >"$apt/var/lib/dpkg/status"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror unstable main" >"$apt/etc/apt/sources.list"
	# A mirror that is behind is better than none; what it serves is signed all the same.
	private="apt-get -q -o Dir=$apt -o Dir::State::status=$apt/var/lib/dpkg/status -o APT::Sandbox::User= -o Acquire::Check-Valid-Until=false -o Acquire::Languages=none"
	$private update
	$private install --yes --download-only --no-install-recommends ruby ruby-json
	for package in "$apt"/var/cache/apt/archives/*.deb; do
		dpkg -x "$package" "$dir.new"
	done
	rm -rf "$apt" "$dir"
	mv "$dir.new" "$dir"
}

run() {
	lib=$(dirname "$dir"/usr/lib/*/libc.so.6)
	json=$(dirname "$(find "$dir" -path '*/json-*/lib/json.rb')"):$(find "$dir" -path '*/extensions/*' -name 'json-*')
	RUBYLIB=$json:$(echo "$dir"/usr/lib/ruby/?.?.0):$(echo "$lib"/ruby/?.?.0) \
		exec "$lib"/ld-linux*.so.? --library-path "$lib" "$dir"/usr/bin/ruby?.? --disable-gems "$@"
}

"$@"
