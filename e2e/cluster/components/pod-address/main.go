// A CNI plugin, last in the chain: tells the node's NetworkPolicy enforcer the addresses of a new pod and lets the pod
// start when its rules are in force. So no pod runs before its policies.
//
// https://www.cni.dev/docs/spec/
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

type configuration struct {
	CNIVersion string
	// Directory holds a file for each pod; the enforcer puts another beside it, whose name ends in .enforced.
	Directory  string
	PrevResult json.RawMessage
}

type result struct {
	IPs []struct{ Address string }
}

const patience = 20 * time.Second

func main() {
	if err := run(); err != nil {
		message, _ := json.Marshal(map[string]any{"cniVersion": "1.0.0", "code": 999, "msg": err.Error()})
		fmt.Println(string(message))
		os.Exit(1)
	}
}

func run() error {
	if os.Getenv("CNI_COMMAND") == "VERSION" {
		fmt.Println(`{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}`)
		return nil
	}
	var config configuration
	if err := json.NewDecoder(os.Stdin).Decode(&config); err != nil {
		return err
	}
	file := filepath.Join(config.Directory, os.Getenv("CNI_CONTAINERID"))
	switch os.Getenv("CNI_COMMAND") {
	case "ADD":
		if err := announce(file, config.PrevResult); err != nil {
			return err
		}
		fmt.Println(string(config.PrevResult))
	case "DEL":
		return errors.Join(removeIfPresent(file), removeIfPresent(file+".enforced"))
	}
	return nil
}

func announce(file string, prevResult json.RawMessage) error {
	var previous result
	if err := json.Unmarshal(prevResult, &previous); err != nil {
		return err
	}
	addresses := []string{}
	for _, ip := range previous.IPs {
		address, _, _ := strings.Cut(ip.Address, "/")
		addresses = append(addresses, address)
	}
	arguments := map[string]string{}
	for _, pair := range strings.Split(os.Getenv("CNI_ARGS"), ";") {
		name, value, _ := strings.Cut(pair, "=")
		arguments[name] = value
	}
	announcement, err := json.Marshal(map[string]any{
		"uid":       arguments["K8S_POD_UID"],
		"namespace": arguments["K8S_POD_NAMESPACE"],
		"name":      arguments["K8S_POD_NAME"],
		"addresses": addresses,
	})
	if err != nil {
		return err
	}
	draft := file + ".draft"
	if err := os.WriteFile(draft, announcement, 0o600); err != nil {
		return err
	}
	if err := os.Rename(draft, file); err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(file + ".enforced"); err == nil {
			return nil
		}
	}
	return errors.Join(errors.New("the pod's network policies are not in force"), removeIfPresent(file))
}

func removeIfPresent(file string) error {
	if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
