// Does with Go's own client what the tests of HTTP compare, against the base URL that it is given.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

type answer struct {
	Status int    `json:"status"`
	Type   string `json:"type"`
	Body   string `json:"body"`
}

func main() {
	base := os.Args[1]
	answers := []answer{}
	do := func(method, path, body string) {
		request, err := http.NewRequest(method, base+path, strings.NewReader(body))
		if err == nil && body != "" {
			request.Header.Set("Content-Type", "application/json")
		}
		if err != nil {
			panic(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			panic(err)
		}
		defer response.Body.Close()
		bytes, err := io.ReadAll(response.Body)
		if err != nil {
			panic(err)
		}
		answers = append(answers, answer{response.StatusCode, response.Header.Get("Content-Type"), string(bytes)})
	}
	do("GET", "/users?sort=name&q=a%20b", "")
	do("POST", "/users", `{"name":"Ada"}`)
	do("PUT", "/users/a%2Fb", strings.Repeat("x", 200000))
	do("GET", "/redirect", "")
	do("GET", "/compressed", "")
	do("GET", "/missing", "")
	do("DELETE", "/users/1", "")
	out, _ := json.Marshal(answers)
	fmt.Println(string(out))
}
