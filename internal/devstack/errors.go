package devstack

import (
	"errors"
	"fmt"
	"net/http"
)

// apiError is an error that AWS blames on the caller.
type apiError struct {
	code    string // SNS: the error code. SQS: its name in the JSON protocol, by which SDKs choose a type
	query   string // SQS only: the code in the older Query protocol, which SDKs show to users
	message string
}

func (e *apiError) Error() string { return e.query + ": " + e.message }

// status returns the HTTP status of the error.
func (e *apiError) status() int {
	if e.code == "NotFound" {
		return http.StatusNotFound
	}
	return http.StatusBadRequest
}

// asAPIError returns err as an apiError. Any other error means that the request is malformed.
func asAPIError(err error) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	return &apiError{"SerializationException", "MalformedInput", err.Error()}
}

func errInvalidAction(action, hint string) *apiError {
	return &apiError{"InvalidAction", "InvalidAction", fmt.Sprintf("The action %q is not supported here.%s", action, hint)}
}

// Errors of SQS. The pairs of codes come from its service model.

var (
	errQueueDoesNotExist = &apiError{
		"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.",
	}
	errMessageNotInflight = &apiError{
		"MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight", "The message is not in flight.",
	}
)

func errQueueNameExists(name, attribute string) *apiError {
	return &apiError{"QueueNameExists", "QueueAlreadyExists",
		fmt.Sprintf("A queue already exists with the name %s and a different value for attribute %s", name, attribute)}
}

func errInvalidValue(format string, args ...any) *apiError {
	return &apiError{"InvalidParameterValueException", "InvalidParameterValue", fmt.Sprintf(format, args...)}
}

// errInvalidFor returns an errInvalidValue in the words that AWS uses for most parameters.
func errInvalidFor(parameter string, value any, reason string) *apiError {
	return errInvalidValue("Value %v for parameter %s is invalid. Reason: %s", value, parameter, reason)
}

func errMissing(parameter string) *apiError {
	return &apiError{"MissingRequiredParameterException", "MissingParameter",
		"The request must contain the parameter " + parameter + "."}
}

func errReceiptHandle(handle string) *apiError {
	return &apiError{"ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid",
		fmt.Sprintf("The input receipt handle %q is not a valid receipt handle.", handle)}
}

func errAttributeName(name string) *apiError {
	return &apiError{"InvalidAttributeName", "InvalidAttributeName", "Unknown Attribute " + name + "."}
}

func errAttributeValue(name, value string) *apiError {
	return &apiError{"InvalidAttributeValue", "InvalidAttributeValue",
		fmt.Sprintf("Invalid value %q for the parameter %s.", value, name)}
}

// Errors of SNS.

func errInvalidParameter(parameter, reason string) *apiError {
	return &apiError{"InvalidParameter", "InvalidParameter", "Invalid parameter: " + parameter + " Reason: " + reason}
}

func errNotFound(what string) *apiError {
	return &apiError{"NotFound", "NotFound", what + " does not exist"}
}

// errBatch returns an error of a whole batch. SQS and SNS share the codes.
func errBatch(code, format string, args ...any) *apiError {
	return &apiError{code, "AWS.SimpleQueueService." + code, fmt.Sprintf(format, args...)}
}
