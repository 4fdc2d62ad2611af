//go:build tools

// Package kubeapiserver pins the kube-apiserver that the tests run against,
// and the kubectl of the same version.
package kubeapiserver

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
