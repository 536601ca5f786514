module firebreak.dev/test/http

go 1.22
