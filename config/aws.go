package config

import "strings"

// read fills a, and its endpoint from the environment's for the service.
func (a *AWS) read(n node, service string) {
	n.fields(
		field{"region", v1(into(&a.Region, region))},
		field{"access_key", v1(into(&a.AccessKey, secret))},
		field{"secret_key", v1(into(&a.SecretKey, secret))},
		field{"endpoint", into(&a.Endpoint, httpURL)},
	)
	switch access, secret := n.child("access_key"), n.child("secret_key"); {
	case access.given() && !secret.given():
		secret.fail("is required with aws.access_key")
	case secret.given() && !access.given():
		access.fail("is required with aws.secret_key")
	}
	if !n.child("region").given() {
		into(&a.Region, word)(n.firstVariable("AWS_REGION", "AWS_DEFAULT_REGION"))
	}
	if n.child("endpoint").value == nil {
		into(&a.Endpoint, httpURL)(n.firstVariable("AWS_ENDPOINT_URL_"+service, "AWS_ENDPOINT_URL"))
	}
}

// firstVariable is the first of the variables that is set, as a node.
func (n node) firstVariable(names ...string) node {
	var v node
	for _, name := range names {
		if v = n.variable(name); v.given() {
			break
		}
	}
	return v
}

// region undoes the spelling "us_east_1", which Scout 1.x put right, too.
func region(text string) (string, error) {
	return word(strings.NewReplacer(".", "-", "_", "-").Replace(text))
}
