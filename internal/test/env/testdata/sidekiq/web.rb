# Reads all pages of Sidekiq's Web UI, following its links. Before that, with an input
# such as "/retries/all/retry", presses the button that sends its form there. Prints
# the status and the text of each page.
require_relative "app"
require "cgi"
require "rack/mock"
require "sidekiq/web"

SESSION = {}

def request(path, **options)
  env = Rack::MockRequest.env_for(path, "rack.session" => SESSION, "HTTP_SEC_FETCH_SITE" => "same-origin", **options)
  status, _headers, body = Sidekiq::Web.call(env)
  html = +""
  body.each { |part| html << part }
  [status, html.force_encoding("UTF-8")]
end

def press(action)
  _, html = request(action[%r{\A/[a-z]+}])
  token = CGI.unescapeHTML(html[/name=['"]authenticity_token['"] value=['"]([^'"]+)/, 1].to_s)
  request(action, method: "POST", params: { "authenticity_token" => token })
end

pages = {}
button = JSON.parse($stdin.read)
status, = press(button) if button
raise "#{button} answers #{status}" if button && status != 302

todo = %w[/ /busy /queues /retries /scheduled /morgue]
until todo.empty?
  path = todo.shift
  status, html = request(path)
  pages[path] = { status: status, text: CGI.unescapeHTML(html.gsub(/<[^>]*>/, " ")).split.join(" ") }
  links = html.scan(/<a [^>]*href=["'](\/[^"'?#]*)/).map { |link,| CGI.unescapeHTML(link) }
  todo |= links.reject { |link| pages.key?(link) || link.start_with?("/filter/") } # redirects
end
puts JSON.generate(pages)