// An informer of client-go, configured as every program in a pod is: it says which deployments of a namespace come and go. With kinds
// behind the namespace it is informers for these, by the kubeconfig that the environment names.
package main

import (
	"fmt"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	if kinds := os.Args[2:]; len(kinds) > 0 {
		config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		followKinds(config, os.Args[1], kinds)
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	client := kubernetes.NewForConfigOrDie(config)
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(os.Args[1]))
	informer := factory.Apps().V1().Deployments().Informer()
	say := func(word string) func(any) {
		return func(object any) {
			if deployment, ok := object.(*appsv1.Deployment); ok {
				fmt.Println(word, deployment.Name, deployment.Labels["seen"])
			}
		}
	}
	informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    say("added"),
		UpdateFunc: func(_, now any) { say("updated")(now) },
		DeleteFunc: say("deleted"),
	})
	forever := make(chan struct{})
	factory.Start(forever)
	factory.WaitForCacheSync(forever)
	fmt.Println("synced")
	<-forever
}
