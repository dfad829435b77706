# Loads jobs, given as one line of base64 each, as Sidekiq does, and saves them as
# Sidekiq does when a job fails. Prints the version of json, and for each job what
# its arguments are, or what failed.
require "json"

# Describes a value without rounding: numbers are compared by their bits. It does
# not recurse, because the stack in WebAssembly is small; symbols are output.
def describe(value)
  text = +""
  todo = [value]
  until todo.empty?
    case v = todo.pop
    when Symbol then text << v.to_s
    when Hash
      text << "{"
      todo << :"}"
      v.to_a.reverse_each { |key, member| todo << :"," << member << :":" << key }
    when Array
      text << "["
      todo << :"]"
      v.reverse_each { |element| todo << :"," << element }
    when String then text << "s" << v.unpack1("H*")
    when Integer then text << "i" << v.to_s
    when Float then text << "f" << [v].pack("G").unpack1("H*")
    else text << v.inspect
    end
  end
  text
end

def check(payload)
  job = JSON.parse(payload)
  args = describe(job["args"])
  job["error_message"] = "failed"
  saved = JSON.generate(job)
  again = describe(JSON.parse(saved)["args"])
  again == args ? args : "saved as #{again}"
rescue JSON::ParserError, JSON::NestingError, JSON::GeneratorError => e
  "#{e.class}: #{e.message[0, 100].inspect}"
end

puts JSON::VERSION
$stdin.each_line { |line| puts check(line.unpack1("m").force_encoding("UTF-8")) }
