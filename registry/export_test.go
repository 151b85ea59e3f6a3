package registry

// Confirm is what Attach does last, for tests that change what is there in between.
var Confirm = confirm
