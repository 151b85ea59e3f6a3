package verify_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/verify"
)

// judgedConfig judges an image whose config is this text.
func judgedConfig(t *testing.T, require, config string) error {
	t.Helper()
	w := newWorld(t)
	w.pushConfigText(config)
	_, err := w.judged(strings.Replace(policyText, signatureRequired, "config: {"+require+"}", 1), now, newPerson(t), newPerson(t), newPerson(t))
	return err
}

func TestAttack_I7_OnlyUsersThatAreKnownNotToBeRootPass(t *testing.T) {
	for os, users := range map[string]map[string]bool{
		"linux": {
			"1": true, "1000": true, "65532:65532": true, "2147483647": true, "app": true, "app:app": true, "www-data": true, "_apt": true, "65532:": true, "svc.x$": true, "1000:0": true,
			"": false, "0": false, "00": false, "+0": false, "-0": false, "0x0": false, "0:0": false, "root": false, "ROOT": false, "root:1000": false, " root": false, "root ": false, "root\t": false,
			"01": false, "+1": false, "1 ": false, " 1": false, "1e3": false, "1_000": false, "0b1": false, "0o0": false, "\u0660": false, "\uff10": false, "\u0661": false, "r\u043eot": false, "root\u200b": false,
			"2147483648": false, "4294967295": false, "4294967296": false, "18446744073709551616": false, "-1": false, ":1000": false, "1000:root ": false, "1000:a:b": false, "toor": false,
			"ContainerAdministrator": false, "containeradministrator": false, `NT AUTHORITY\SYSTEM`: false, `nt authority\system`: false, `NT AUTHORITY\LocalSystem`: false, "Administrator": false,
			"SYSTEM": false, "LocalSystem": false, `.\Administrator`: false, `User Manager\ContainerAdministrator`: false, "NT AUTHORITY/SYSTEM": false, "S-1-5-18": false, "$USER": false, "${USER}": false,
		},
		"windows": {
			"ContainerUser": true, "containeruser": true, "CONTAINERUSER": true,
			"": false, "ContainerAdministrator": false, `NT AUTHORITY\SYSTEM`: false, "Administrator": false, "app": false, "1000": false, "ContainerUser ": false, "ContainerUser:1": false,
			`User Manager\ContainerAdministrator`: false, "S-1-5-18": false, "root": false, "NT AUTHORITY\\NetworkService": false,
		},
		"Windows": {"ContainerUser": true, "app": false, "": false},
	} {
		for user, allowed := range users {
			err := judgedConfig(t, "nonRoot: true", fmt.Sprintf(`{"os":%q,"architecture":"amd64","config":{"User":%s}}`, os, quoted(user)))
			t.Logf("%s %q", os, user)
			if allowed {
				wantReason(t, err, "")
			} else {
				wantReason(t, err, verify.ReasonRoot)
			}
		}
	}
}

// A config that is not what its specification says meets no condition.
func TestAttack_E23_AConfigOfOtherShapesMeetsNothing(t *testing.T) {
	for require, members := range map[string][]string{
		"nonRoot: true": {`"User":1000`, `"User":["1000"]`, `"User":{"0":"1000"}`, `"User":true`, `"user":"1000"`, `"USER":"1000"`},
		"noSecrets: true": {
			`"Env":{"DB_PASSWORD":"hunter2"}`, `"Env":"DB_PASSWORD=hunter2"`, `"Env":[["DB_PASSWORD=hunter2"]]`, `"Env":[{"DB_PASSWORD":"hunter2"}]`, `"Env":7`, `"Env":[7]`, `"env":["DB_PASSWORD=hunter2"]`,
			`"Labels":["api_key=abc123xyz"]`, `"Labels":"api_key=abc123xyz"`, `"Labels":{"api_key":["abc123xyz"]}`, `"Labels":{"api_key":{"x":"abc123xyz"}}`, `"Labels":{"api_key":7}`,
			`"Cmd":"serve --password=hunter2"`, `"Cmd":{"0":"--password=hunter2"}`, `"Cmd":[["--password=hunter2"]]`, `"Entrypoint":"x --password=hunter2"`, `"OnBuild":"ENV DB_PASSWORD=hunter2"`,
			`"Healthcheck":"curl --password=hunter2"`, `"Healthcheck":["CMD"]`, `"Healthcheck":{"Test":"curl --password=hunter2"}`, `"Healthcheck":{"test":["curl"]}`,
		},
		"noPrivilegedPorts: true": {`"ExposedPorts":["80/tcp"]`, `"ExposedPorts":"80/tcp"`, `"ExposedPorts":80`, `"exposedports":{"80/tcp":{}}`},
		"labels: {a: b}":          {`"Labels":["a=b"]`, `"Labels":{"a":["b"]}`, `"labels":{"a":"b"}`},
	} {
		for _, member := range members {
			err := judgedConfig(t, require, `{"os":"linux","architecture":"amd64","config":{`+member+`}}`)
			if e, ok := err.(*verify.Error); ok && strings.Contains(e.Error(), "hunter2") {
				t.Errorf("the secret is told: %v", err)
			}
			t.Log(member, err)
			wantReason(t, err, verify.ReasonConfig)
		}
	}
	for require, configs := range map[string][]string{
		"noSecrets: true":          {`{"config":["DB_PASSWORD=hunter2"]}`, `{"config":"x"}`, `{"history":{"created_by":"x"}}`, `{"history":"x"}`, `{"history":[["x"]]}`, `{"history":[{"created_by":["NPM_TOKEN=abcdef123"]}]}`, `{"history":[{"comment":{"x":1}}]}`},
		"createdWithin: 48h":       {`{"created":1795521600}`, `{"created":["2026-11-23T12:00:00Z"]}`, `{"created":{"time":"2026-11-23T12:00:00Z"}}`},
		"platforms: [linux/amd64]": {`{"os":["linux"],"architecture":"amd64"}`, `{"os":"linux","architecture":{"name":"amd64"}}`, `{"OS":"linux","architecture":"amd64"}`},
	} {
		for _, config := range configs {
			wantReason(t, judgedConfig(t, require, config), verify.ReasonConfig)
		}
	}
}

// Docker's builder has recorded by which config it made an image, and some still have
// it.
func TestAttack_I7_SecretsOfTheBuildersContainerAreFound(t *testing.T) {
	const config = `{"os":"linux","config":{"User":"1"},"container_config":`
	for _, c := range []string{`{"Env":["DB_PASSWORD=hunter2"]}`, `{"Cmd":["/bin/sh","-c","login --password=hunter2"]}`, `{"Labels":{"api_key":"abc123xyz"}}`} {
		wantReason(t, judgedConfig(t, "noSecrets: true", config+c+`}`), verify.ReasonSecret)
	}
	wantReason(t, judgedConfig(t, "noSecrets: true", config+`{"Hostname":"x","Env":["PATH=/bin"],"Labels":null}}`), "")
}
