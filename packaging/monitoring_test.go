package packaging

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"scout/internal/monitor"
)

// A metric describes one of Scout's metrics.
type metric struct {
	kind   string              // counter, gauge or histogram
	labels map[string][]string // with their values
}

// metrics returns all metrics by name.
func metrics(t *testing.T) map[string]metric {
	t.Helper()
	m := monitor.New(func() monitor.Status {
		return monitor.Status{
			Redis:   monitor.Redis{MemoryUsed: 1},
			Queues:  []monitor.Queue{{Name: "app", Depth: &monitor.Depth{}}},
			Sidekiq: []monitor.Sidekiq{{Name: "default"}},
		}
	})
	m.Observe("app")
	families, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]metric{}
	for _, f := range families {
		kind, labels := strings.ToLower(f.GetType().String()), map[string][]string{}
		if kind == "histogram" {
			labels["le"] = nil
		}
		for _, sample := range f.GetMetric() {
			for _, l := range sample.GetLabel() {
				labels[l.GetName()] = append(labels[l.GetName()], l.GetValue())
			}
		}
		all[f.GetName()] = metric{kind, labels}
	}
	return all
}

// find returns the metric that has samples of that name.
func find(all map[string]metric, sample string) (metric, bool) {
	if m, ok := all[sample]; ok {
		return m, m.kind != "histogram"
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if name, ok := strings.CutSuffix(sample, suffix); ok && all[name].kind == "histogram" {
			return all[name], true
		}
	}
	return metric{}, false
}

// A dashboard holds the parts of a Grafana dashboard that the tests check.
type dashboard struct {
	UID           string
	SchemaVersion int
	Templating    struct {
		List []struct {
			Name, Type, Query string
			Datasource        datasource
		}
	}
	Panels []panel
}

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	Datasource               datasource
	Targets                  []struct {
		RefID, Expr, LegendFormat string
		Datasource                datasource
	}
}

type datasource struct{ Type, UID string }

func loadDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, "monitoring/scout-dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

type alert struct {
	Alert, Expr         string
	Labels, Annotations map[string]string
}

func loadAlerts(t *testing.T) []alert {
	t.Helper()
	var file struct{ Groups []struct{ Rules []alert } }
	if err := yaml.Unmarshal([]byte(read(t, "monitoring/alerts.yml")), &file); err != nil {
		t.Fatal(err)
	}
	return file.Groups[0].Rules
}

// TestDashboard checks that the dashboard has what Grafana needs and readers
// expect.
func TestDashboard(t *testing.T) {
	d := loadDashboard(t)
	if d.UID == "" || d.SchemaVersion < 36 {
		t.Errorf("the dashboard has the uid %q and the schema version %d", d.UID, d.SchemaVersion)
	}
	source := datasource{"prometheus", "${datasource}"}
	for _, v := range d.Templating.List {
		if v.Type == "query" && v.Datasource != source {
			t.Errorf("the variable %s uses the data source %v", v.Name, v.Datasource)
		}
	}
	for i, p := range d.Panels {
		for _, other := range d.Panels[:i] {
			if p.ID == other.ID {
				t.Errorf("%s and %s have the id %d", other.Title, p.Title, p.ID)
			}
			a, b := p.GridPos, other.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("%s and %s overlap", other.Title, p.Title)
			}
		}
		if g := p.GridPos; p.ID == 0 || p.Title == "" || g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
			t.Errorf("panel %d: %+v", i, p)
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || p.Datasource != source || len(p.Targets) == 0 {
			t.Errorf("%s lacks a description, the data source or a query", p.Title)
		}
		for j, target := range p.Targets {
			if target.RefID != string(rune('A'+j)) || target.Datasource != source {
				t.Errorf("%s: query %+v", p.Title, target)
			}
		}
	}
}

// TestDashboardMetrics checks that the dashboard uses existing metrics, and that
// every query is restricted by the variables.
func TestDashboardMetrics(t *testing.T) {
	all, d := metrics(t), loadDashboard(t)
	labelValues := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
	for _, v := range d.Templating.List {
		if m := labelValues.FindStringSubmatch(v.Query); m != nil {
			checkExpression(t, all, "variable "+v.Name, "count by ("+m[2]+") ("+m[1]+")")
		}
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			checkExpression(t, all, p.Title, target.Expr)
			for _, s := range selector.FindAllStringSubmatch(target.Expr, -1) {
				want := "job=~'$job', instance=~'$instance'"
				if m, _ := find(all, s[1]); m.labels["queue"] != nil {
					want += ", queue=~'$queue'"
				}
				if !strings.HasPrefix(s[2], want) {
					t.Errorf("%s: %s does not begin with %s", p.Title, s[0], want)
				}
			}
		}
	}
}

var (
	selector = regexp.MustCompile(`\b((?:scout|process|go)_\w+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`(\w+)(?:=~|!~|=|!=)['"]([^'"]*)['"]`)
	grouping = regexp.MustCompile(`\b(?:by|on) \(([^)]*)\)`)
)

// checkExpression checks that the metrics of an expression exist and have the
// labels and values that it uses.
func checkExpression(t *testing.T, all map[string]metric, where, expr string) {
	t.Helper()
	groups := []string{"job", "instance"} // Prometheus adds these
	for _, s := range selector.FindAllStringSubmatch(expr, -1) {
		m, ok := find(all, s[1])
		if !ok && (runtime.GOOS == "linux" || !strings.HasPrefix(s[1], "process_")) { // other systems have fewer
			t.Errorf("%s: the metric %s does not exist", where, s[1])
		}
		groups = slices.AppendSeq(groups, maps.Keys(m.labels))
		for _, l := range matcher.FindAllStringSubmatch(s[2], -1) {
			if name, value := l[1], l[2]; !strings.HasPrefix(value, "$") && !matches(m.labels[name], value) {
				t.Errorf("%s: %s has no label %s with the value %s", where, s[1], name, value)
			}
		}
	}
	for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
		for name := range strings.SplitSeq(g[1], ", ") {
			if !slices.Contains(groups, name) {
				t.Errorf("%s: no metric has the label %s", where, name)
			}
		}
	}
}

// matches reports whether values contains each of the alternatives in a matcher's
// value.
func matches(values []string, value string) bool {
	for alternative := range strings.SplitSeq(value, "|") {
		if !slices.Contains(values, alternative) {
			return false
		}
	}
	return true
}

// TestAlerts checks that each alert uses existing metrics, has annotations, and
// fires in one of the cases of alerts_test.yml, which promtool runs.
func TestAlerts(t *testing.T) {
	all, fires := metrics(t), map[string]string{}
	firing := regexp.MustCompile(`'ALERTS\{alertname="(\w+)", (.*)\}'`)
	for _, m := range firing.FindAllStringSubmatch(read(t, "monitoring/alerts_test.yml"), -1) {
		fires[m[1]] = m[2]
	}
	used := regexp.MustCompile(`\$labels\.(\w+)`)
	for _, a := range loadAlerts(t) {
		checkExpression(t, all, a.Alert, a.Expr)
		if fires[a.Alert] == "" {
			t.Errorf("%s fires in no case", a.Alert)
		}
		if s := a.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s has the severity %q", a.Alert, s)
		}
		if want := runbooks + "#" + strings.ToLower(a.Alert); a.Annotations["runbook_url"] != want {
			t.Errorf("%s has the runbook %s, want %s", a.Alert, a.Annotations["runbook_url"], want)
		}
		for _, name := range []string{"summary", "description"} {
			text := a.Annotations[name]
			if text == "" {
				t.Errorf("%s has no %s", a.Alert, name)
			}
			for _, m := range used.FindAllStringSubmatch(text, -1) {
				if !strings.Contains(fires[a.Alert], m[1]+"=") {
					t.Errorf("the %s of %s uses a label that the alert lacks: %s", name, a.Alert, m[1])
				}
			}
		}
	}
}

// runbooks is the address of docs/troubleshooting.md where a package installs it.
const runbooks = "file:///usr/share/doc/scout/docs/troubleshooting.md"

// TestRunbooks checks that docs/troubleshooting.md has a section for each alert, with
// its meaning, what to check and what to do.
func TestRunbooks(t *testing.T) {
	sections := map[string]string{}
	for section := range strings.SplitSeq(read(t, "../docs/troubleshooting.md"), "\n### ") {
		title, text, _ := strings.Cut(section, "\n")
		sections[title] = text
	}
	for _, a := range loadAlerts(t) {
		for _, want := range []string{"**Means:** ", "**Look at:** ", "**Do:** "} {
			if !strings.Contains(sections[a.Alert], want) {
				t.Errorf("the section %s of docs/troubleshooting.md has no %q", a.Alert, want)
			}
		}
	}
}

// TestMonitoringIsDocumented checks that the pages about operations, failures and
// troubleshooting document all metrics and alerts, and no others.
func TestMonitoringIsDocumented(t *testing.T) {
	all := metrics(t)
	text := read(t, "../docs/operations.md") + read(t, "../docs/failures.md") + read(t, "../docs/troubleshooting.md")
	for name, m := range all {
		labels := slices.Sorted(maps.Keys(m.labels))
		labels = slices.DeleteFunc(labels, func(l string) bool { return l == "le" }) // every histogram has it
		if len(labels) > 0 {
			name += "{" + strings.Join(labels, ",") + "}"
		}
		if row := fmt.Sprintf("\n| `%s` | %s | ", name, m.kind); strings.HasPrefix(name, "scout_") && !strings.Contains(text, row) {
			t.Errorf("the documentation lacks%s", row)
		}
		for _, l := range []string{"limit", "reason", "result", "state"} {
			for _, value := range m.labels[l] {
				if !strings.Contains(text, "`"+value+"`") {
					t.Errorf("the documentation does not explain the %s %s", l, value)
				}
			}
		}
	}
	for _, m := range regexp.MustCompile(`\bscout_[a-z_]+`).FindAllString(text, -1) {
		if _, ok := all[m]; !ok {
			t.Errorf("the documentation mentions %s, which is not a metric", m)
		}
	}
	alerts := map[string]bool{}
	for _, a := range loadAlerts(t) {
		alerts[a.Alert] = true
		if !strings.Contains(text, "\n| `"+a.Alert+"` | "+a.Labels["severity"]+" | ") {
			t.Errorf("the documentation lacks %s", a.Alert)
		}
	}
	for _, m := range regexp.MustCompile(`\bScout[A-Z]\w+`).FindAllString(text+read(t, "monitoring/alerts.yml")+read(t, "monitoring/scout-dashboard.json"), -1) {
		if !alerts[m] {
			t.Errorf("the alert %s does not exist", m)
		}
	}
}

// TestQuotedLogMessagesExist checks that Scout logs the messages that the alerts
// and dashboards tell operators to look for.
func TestQuotedLogMessagesExist(t *testing.T) {
	var quoted []string
	for _, a := range loadAlerts(t) {
		for _, m := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(a.Annotations["description"], -1) {
			quoted = append(quoted, m[1])
		}
	}
	for _, p := range loadDashboard(t).Panels {
		for _, m := range regexp.MustCompile(`log line "([^"]+)"`).FindAllStringSubmatch(p.Description, -1) {
			quoted = append(quoted, m[1])
		}
	}
	for _, m := range regexp.MustCompile(`filter message = '([^']+)'`).FindAllStringSubmatch(read(t, "../template.yaml"), -1) {
		quoted = append(quoted, m[1])
	}
	if len(quoted) < 5 {
		t.Fatalf("found only the quotes %q", quoted)
	}
	source := goSource(t)
	for _, text := range quoted {
		if !strings.Contains(source, strconv.Quote(text)) {
			t.Errorf("nothing logs %q", text)
		}
	}
}

// goSource returns the source of the program without its tests.
func goSource(t *testing.T) string {
	t.Helper()
	var source strings.Builder
	for _, dir := range []string{"../cmd", "../config", "../handler", "../internal", "../sidekiq"} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				source.WriteString(read(t, path))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return source.String()
}
