package keyfile_test

// A pair on the curve secp256k1, which the standard library does not make. It signs
// nothing anywhere.
const (
	secp256k1Private = `-----BEGIN PRIVATE KEY-----
MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQguFKTFkj5XLs0SpN6ezXD
GxYBCF7irYfUq0u6di1a106hRANCAASn1H3P2yVhIW/g9tRGGVVSgToqrktQSes1
vMn5S4G3s6bhlU5KwZkmgKxkUtGEO/xh7ccrbz/z3CoaWMcoVIrC
-----END PRIVATE KEY-----
`
	secp256k1Public = `-----BEGIN PUBLIC KEY-----
MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEp9R9z9slYSFv4PbURhlVUoE6Kq5LUEnr
NbzJ+UuBt7Om4ZVOSsGZJoCsZFLRhDv8Ye3HK28/89wqGljHKFSKwg==
-----END PUBLIC KEY-----
`
)
