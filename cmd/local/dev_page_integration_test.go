//go:build integration

package main

import (
	"os"
	"testing"

	"scout/internal/test/chromium"
)

func TestShots(t *testing.T) {
	endpoint, stdout := startDev(t, "")
	go func() {
		for stdout.Scan() {
		}
	}()
	p := chromium.Open(t, endpoint+"/", 1440, 900)
	p.Wait(`document.querySelector("#connection").textContent === "live"`)
	dir := "/tmp/dev-shots"
	_ = os.MkdirAll(dir, 0o755)
	p.Screenshot(dir + "/empty.png")
	p.Eval(`(async () => { for (const s of await (await fetch("/_scout/samples")).json()) { const d = s.draft; if (!d.topic) d.queue = "app"; 
	  await fetch("/_scout/publish", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(d)}) } })()`, nil)
	p.Wait(`document.querySelectorAll("#rows tr").length > 20`)
	p.Eval(`document.querySelectorAll("#rows tr")[9].click()`, nil)
	p.Wait(`document.querySelector("#selected").hidden === false`)
	p.Screenshot(dir + "/light.png")
	p.SetDark(true)
	p.Screenshot(dir + "/dark.png")
	p.Eval(`document.querySelector("#tab-publish").click()`, nil)
	p.Screenshot(dir + "/publish-dark.png")
	p.Resize(700, 900)
	p.Screenshot(dir + "/publish-700.png")
	p.SetDark(false)
	p.Eval(`document.querySelector("#tab-message").click()`, nil)
	p.Screenshot(dir + "/light-700.png")
	p.Eval(`document.querySelector("#tab-sidekiq").click()`, nil)
	p.Wait(`document.querySelectorAll("#lists h4").length > 3`)
	p.Screenshot(dir + "/sidekiq-700.png")
	p.Resize(1440, 900)
	p.Screenshot(dir + "/sidekiq.png")
	t.Log(p.Events("Log.entryAdded"))
	for _, e := range p.Events("Runtime.exceptionThrown") { t.Error(string(e)) }
}
