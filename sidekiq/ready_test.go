package sidekiq

import (
	"reflect"
	"testing"
)

func TestParseInfo(t *testing.T) {
	for name, c := range map[string]struct {
		reply string
		want  Info
	}{
		"Redis": {
			"# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nused_memory:10\r\nmaxmemory:20\r\nmaxmemory_policy:noeviction\r\n",
			Info{Name: "Redis", Version: "7.0.15", Redis: "7.0.15", Eviction: "noeviction", Used: 10, Max: 20},
		},
		"Valkey": {
			"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\nserver_mode:cluster\r\n",
			Info{Name: "Valkey", Version: "9.1.2", Redis: "7.2.4", Cluster: true},
		},
		"Sentinel": {"redis_version:7.0.15\r\nredis_mode:sentinel\r\n", Info{Name: "Redis", Version: "7.0.15", Redis: "7.0.15", Sentinel: true}},
		"a master with replicas": {
			"role:master\r\nconnected_slaves:3\r\nmin_slaves_good_slaves:1\r\n" +
				"slave0:ip=10.0.0.2,port=6379,state=online,offset=1,lag=0\r\nslave1:ip=10.0.0.3,port=6379,state=wait_bgsave,offset=0,lag=0\r\n" +
				"slave2:ip=::1,port=6380,state=online,offset=1,lag=0\r\nslave_read_only:1\r\n",
			Info{Name: "Redis", Role: "master", Replicas: []string{"10.0.0.2:6379", "[::1]:6380"}, NeedsReplicas: true},
		},
		"escape sequences": {"redis_version:7\x1b[2J\r\n", Info{Name: "Redis", Version: `7\u001b[2J`, Redis: `7\u001b[2J`}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := parseInfo(c.reply); !reflect.DeepEqual(got, c.want) {
				t.Errorf("parseInfo = %+v, want %+v", got, c.want)
			}
		})
	}
}
