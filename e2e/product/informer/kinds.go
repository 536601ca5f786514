package main

import (
	"fmt"
	"net/http"
	"path"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// followKinds says what comes and goes of many kinds at once (`deployments.v1.apps`), as a program does that shows a cluster on a screen.
func followKinds(config *rest.Config, namespace string, kinds []string) {
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &expiring{next: next} })
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(
		dynamic.NewForConfigOrDie(config), 0, namespace, nil)
	for _, kind := range kinds {
		resource, _ := schema.ParseResourceArg(kind)
		say := func(word string) func(any) {
			return func(object any) {
				if found, ok := object.(*unstructured.Unstructured); ok {
					password, _, _ := unstructured.NestedString(found.Object, "data", "password")
					fmt.Println(word, resource.Resource, found.GetName(), found.GetLabels()["seen"], password)
				}
			}
		}
		factory.ForResource(*resource).Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    say("added"),
			UpdateFunc: func(_, now any) { say("updated")(now) },
			DeleteFunc: say("deleted"),
		})
	}
	forever := make(chan struct{})
	factory.Start(forever)
	factory.WaitForCacheSync(forever)
	fmt.Println("synced")
	<-forever
}

// expiring says which lists and watches are asked for, and asks for the first watch of each kind from where no server remembers.
type expiring struct {
	next http.RoundTripper
	// names of resources
	asked sync.Map
}

func (e *expiring) RoundTrip(request *http.Request) (*http.Response, error) {
	query := request.URL.Query()
	resource := path.Base(request.URL.Path)
	switch {
	case query.Get("watch") != "true":
		fmt.Println("lists", resource)
	case query.Get("sendInitialEvents") == "true":
		fmt.Println("streams", resource)
	default:
		fmt.Println("watches", resource)
		if _, again := e.asked.LoadOrStore(resource, true); !again {
			query.Set("resourceVersion", "1")
			request = request.Clone(request.Context())
			request.URL.RawQuery = query.Encode()
		}
	}
	return e.next.RoundTrip(request)
}
