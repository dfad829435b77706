package devstack

import (
	"errors"
	"fmt"
	"net/http"
)

// apiError is an error of the caller, as AWS reports it.
type apiError struct {
	code    string // SNS: the error's code. SQS: the JSON protocol's name of it, by which SDKs choose a type
	query   string // SQS only: the code in the older Query protocol, which SDKs show to their users
	message string
}

func (e *apiError) Error() string { return e.query + ": " + e.message }

// status returns the HTTP status that goes with the error.
func (e *apiError) status() int {
	if e.code == "NotFound" {
		return http.StatusNotFound
	}
	return http.StatusBadRequest
}

// asAPIError returns err as what a client is told. Whatever is not an apiError is a malformed request.
func asAPIError(err error) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	return &apiError{"SerializationException", "MalformedInput", err.Error()}
}

func errInvalidAction(action, hint string) *apiError {
	return &apiError{"InvalidAction", "InvalidAction", fmt.Sprintf("The action %q is not supported here.%s", action, hint)}
}

// Errors of SQS. The pairs of codes are those of its service model.

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

// errInvalidFor is an errInvalidValue in the words that AWS uses for most parameters.
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

// errBatch is an error of a whole batch; the codes are common to SQS and SNS.
func errBatch(code, format string, args ...any) *apiError {
	return &apiError{code, "AWS.SimpleQueueService." + code, fmt.Sprintf(format, args...)}
}
